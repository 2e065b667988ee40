package balancer

import (
	"math"
	"slices"
	"time"
)

// standing is what a member is taken for.
type standing uint8

const (
	// good: it gets its share of the requests.
	good standing = iota
	// slow: it answers, but takes much longer than its peers; it gets one request
	// at a time, and those far apart.
	slow
	// suspect: it was silent while it had requests to answer, and is being probed.
	// It gets no requests once a peer has been heard meanwhile.
	suspect
	// severed: it answered no probe while a peer was heard; its connection was
	// closed, and gRPC's next one starts afresh.
	severed
)

func (s standing) String() string {
	return [...]string{"good", "slow", "suspect", "severed"}[s]
}

const (
	unlimited = math.MaxInt64

	minPatience     = 200 * time.Millisecond // of silence, before a member is suspect
	maxPatience     = 2 * time.Second
	patienceFactor  = 4 // times the usual answering time
	minProbeTimeout = 700 * time.Millisecond
	slowFactor      = 5 // times the quickest peer's answering time …
	slowMargin      = 50 * time.Millisecond
	slowTicks       = 10 // in a row
	slowSpacing     = 8  // times its own answering time between two requests …
	maxSpacing      = 2 * time.Second
	smoothing       = 0.3 // weight of the newest sample
	minLoad         = 0.01
)

// record is what the state machine knows of one member, besides the counters
// that its requests keep. All records of a table are guarded by the table's
// mutex.
type record struct {
	state    standing
	before   standing  // what it was before it was suspect
	told     standing  // what the last report said
	heard    uint64    // the member's count at the last tick
	answered uint64    // likewise
	refused  uint64    // likewise
	lastTime time.Time // when it was heard last
	silent   time.Time // since when it has owed an answer and said nothing; zero: not at all
	patience time.Duration

	probing   bool
	probeFrom time.Time
	asked     bool // by Inspect: there is a stream that waits for the verdict
	stay      bool // what waits for it, if anything, gains nothing by the loss of its connection

	load     float64       // smoothed number of outstanding requests
	rate     float64       // smoothed answers a second, but for refusals
	usual    time.Duration // how long it took to answer, when it last did; 0: nothing is known
	lagging  int           // ticks in a row in which it was slow
	leftover uint64        // requests from before it was slow, whose answers show nothing
	restless bool          // its requests changed since the last tick

	owes      int64     // answers, at the last tick
	owing     time.Time // since when it has owed some and given none; zero: not at all
	owingFrom uint64    // heard then
	owesReads int64     // of the answers that it owes: those that a peer could give
	readRate  float64   // smoothed answers to such requests a second
	readsDone uint64    // the member's count at the last tick
	reading   bool      // it was sent a read of one key, which has not ended
	readFrom  time.Time // when; zero: no such read shows anything
	lapsed    time.Time // when it last had owed some for a while and given none
	stuck     bool      // it was severed for that, and has not answered quickly since

	connection int  // counts them
	vetted     bool // it holds for this connection what All was asked for
}

// sample is what a tick sees of a member.
type sample struct {
	outstanding int64
	movable     int64  // of these, that would be sent to a peer if the connection were lost
	answered    uint64 // answers to requests, so far
	reads       uint64 // of these, to requests that would be sent to a peer, and that were served
	refused     uint64 // of these, that the member does not serve
	heard       uint64 // bytes received on its connection, so far, and answers
}

// latency estimates how long the member takes to answer: by Little's law, the
// requests in it over those that leave it. It is 0 where nothing is known. One that
// is so quick that ticks find no requests in it is known to be.
func (r *record) latency() time.Duration {
	if r.load < minLoad && r.rate == 0 {
		return 0
	}
	return time.Duration(min(max(r.load, minLoad)/max(r.rate, 0.05), 60) * float64(time.Second))
}

// observe takes in one sample.
func (r *record) observe(s sample, now time.Time, elapsed time.Duration) {
	r.owe(s, now)
	r.restless = s.outstanding > 0 || s.answered != r.answered
	r.stay = s.outstanding > 0 && s.movable == 0
	answers := s.answered - r.answered
	late := min(r.leftover, answers)
	refused := min(s.refused-r.refused, answers-late)
	served := answers - late - refused
	r.leftover = min(r.leftover-late, uint64(s.outstanding))
	if elapsed > 0 && r.restless {
		waiting := s.outstanding - int64(r.leftover)
		if refused > 0 {
			waiting++ // for what it does not get
		}
		r.load += smoothing * (float64(waiting) - r.load)
		r.rate += smoothing * (float64(served)/elapsed.Seconds() - r.rate)
		r.readRate += smoothing * (float64(s.reads-r.readsDone)/elapsed.Seconds() - r.readRate)
	}
	if served > 0 {
		r.usual = r.latency()
		if !r.silent.IsZero() {
			r.usual = max(r.usual, now.Sub(r.silent))
		}
	}
	switch {
	case s.heard != r.heard:
		r.lastTime, r.silent, r.asked = now, time.Time{}, false
		if s.answered != r.answered {
			r.patience = 0
		}
		r.clear()
	case s.outstanding == 0 && !r.probing && !r.asked:
		r.silent = time.Time{}
		r.clear() // it owes nothing any more, and nothing was proved
	case r.silent.IsZero():
		r.silent = now
	}
	r.heard, r.answered, r.refused = s.heard, s.answered, s.refused
	r.owesReads, r.readsDone = s.movable, s.reads
}

// doubt makes the member a suspect.
func (r *record) doubt() {
	if r.state != suspect {
		r.state, r.before = suspect, r.state
	}
}

// clear ends a suspicion. A slow member is still one: its answers take longer than
// members are trusted to be silent.
func (r *record) clear() {
	if r.state == suspect {
		r.state = r.before
	}
}

// verdict is what one step of the state machine asks its owner to do.
type verdict struct {
	probe []*Member
	read  []*Member // to be sent a read of one key
	sever []*Member
	moved []*Member // whose standing is not what was reported last
}

// step judges all members that are connected, after each has observed the
// present. A member is only ever compared with its peers over the same time: one
// that has none, or none that was heard, stays in use until a long silence shows that
// its connection is dead. Where members may not be probed a silent one is spared, and
// no more.
func step(members []*Member, now time.Time, probes bool) (v verdict) {
	usual := usualLatency(members)
	for _, m := range members {
		r := &m.rec
		patience := min(max(minPatience, patienceFactor*usual, r.patience), max(maxPatience, patienceFactor*usual))
		if r.state == severed || r.silent.IsZero() || r.silentFor(now) < patience || len(members) < 2 && r.silentFor(now) < longSilence {
			continue
		}
		r.doubt()
		if !probes {
			continue
		}
		if !r.probing {
			v.probe = append(v.probe, startProbe(m, now))
		}
		if !peerHeard(members, m, r.silent) {
			v.probe = append(v.probe, probePeers(members, m, now)...)
		}
	}
	for _, m := range members {
		if probes && startRead(members, m, now, usual) {
			v.read = append(v.read, m)
		}
		if probes && (judgeProbe(members, m, now, usual) || judgeStuck(members, m, now, usual) || judgeDead(m, now)) {
			v.sever = append(v.sever, m)
		}
	}
	judgeSpeed(members)
	setLimits(members)
	for _, m := range members {
		if r := &m.rec; r.state != r.told {
			v.moved, r.told = append(v.moved, m), r.state
		}
	}
	return v
}

func startProbe(m *Member, now time.Time) *Member {
	m.rec.probing, m.rec.probeFrom = true, now
	return m
}

// probePeers asks the peers of a silent member, none of whom was heard, for a
// sign of life: without one there is nothing to compare with.
func probePeers(members []*Member, silent *Member, now time.Time) (probes []*Member) {
	for _, p := range members {
		if p != silent && !p.rec.probing {
			probes = append(probes, startProbe(p, now))
		}
	}
	return probes
}

// peerHeard tells whether any other member was heard after since.
func peerHeard(members []*Member, m *Member, since time.Time) bool {
	return slices.ContainsFunc(members, func(p *Member) bool { return p != m && p.rec.lastTime.After(since) })
}

// judgeProbe tells whether to give up the member's connection: it has not said
// a word since it was probed, but a peer has. Where all are silent the probe
// goes on. Where only writes wait for it they go on waiting, as it may have had
// them and may answer yet: they cannot be sent to a peer.
func judgeProbe(members []*Member, m *Member, now time.Time, usual time.Duration) bool {
	r := &m.rec
	overdue := r.probing && now.Sub(r.probeFrom) >= max(minProbeTimeout, patienceFactor*usual)
	if !overdue || r.state == severed || r.stay && !r.asked || !m.severable() ||
		r.lastTime.After(r.probeFrom) || !peerHeard(members, m, r.probeFrom) {
		return false
	}
	r.state = severed
	return true
}

// pause has time in which the judge itself did not run count for nobody: what
// arrived meanwhile may still be waiting to be read.
func (r *record) pause(d time.Duration) {
	if !r.silent.IsZero() {
		r.silent = r.silent.Add(d)
	}
	if !r.owing.IsZero() {
		r.owing = r.owing.Add(d)
	}
	r.lapsed = r.lapsed.Add(d)
	r.probeFrom = r.probeFrom.Add(d)
	if !r.readFrom.IsZero() {
		r.readFrom = r.readFrom.Add(d)
	}
}

// answerProbe takes in that a probe was answered, or failed on its own. A member
// that is alive gets its share again; it is doubted less quickly next time, until
// it answers a request.
func (r *record) answerProbe(answered bool, now time.Time) {
	r.probing = false
	if !answered || r.state == severed {
		return
	}
	r.lastTime, r.silent, r.asked = now, time.Time{}, false
	if r.state == suspect {
		r.clear()
		r.patience = min(max(2*r.patience, 2*minPatience), maxPatience)
	}
}

// usualLatency is the median of the members that have answered, each as of its
// last answer: silence must not count as the time that answers usually take, or
// where most members are silent none of them would be found out.
func usualLatency(members []*Member) time.Duration {
	var known []time.Duration
	for _, m := range members {
		if m.rec.usual > 0 {
			known = append(known, m.rec.usual)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[(len(known)-1)/2]
}

// judgeSpeed tells good members from slow ones, with a margin between the two so
// that none flips to and fro.
func judgeSpeed(members []*Member) {
	quickest := time.Duration(unlimited)
	for _, m := range members {
		if l := m.rec.latency(); l > 0 && m.rec.rate > 0 {
			quickest = min(quickest, l)
		}
	}
	if quickest == unlimited {
		return
	}
	for _, m := range members {
		r, limit := &m.rec, slowFactor*quickest+slowMargin
		switch l := r.latency(); {
		case l <= limit || !r.restless:
			r.lagging = 0
		default:
			r.lagging++
		}
		switch {
		case r.state == good && r.lagging >= slowTicks:
			r.state = slow
			r.load, r.rate = 1, r.rate/r.load // as it will be asked from now on, so that one quick answer shows
			r.leftover = uint64(r.owes)
		case r.state == slow && r.latency() < limit/2:
			r.state, r.stuck = good, false
		}
	}
}

// setLimits tells the pick what each member may have outstanding. A suspect is
// spared once a peer was heard; where nobody is left to take requests, everybody
// is.
func setLimits(members []*Member) {
	usable := false
	for _, m := range members {
		limit := int64(unlimited)
		switch r := &m.rec; {
		case r.state == slow:
			limit = 1
		case r.state == severed, r.state == suspect && peerHeard(members, m, r.silent):
			limit = 0
		}
		m.spacing.Store(int64(min(slowSpacing*m.rec.latency(), maxSpacing)))
		m.limit.Store(limit)
		usable = usable || limit > 0
	}
	for _, m := range members {
		if !usable {
			m.limit.Store(unlimited)
		}
	}
}
