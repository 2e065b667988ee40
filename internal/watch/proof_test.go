package watch

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"go.etcd.io/etcd/client/v3/internal/watchmux"
)

const ms = time.Millisecond

// tick is a test case for one periodic look at a stream. The fields proof and sight are the state
// before the look; the field want is the action that must follow. In a test case, proof.due counts
// from now, and sight.received is how long ago a response was received.
type tick struct {
	name  string
	proof proof
	sight sight
	want  action
}

var (
	active    = watchmux.Liveness{Active: true}
	future    = watchmux.Liveness{Active: true, WaitsForFuture: true}
	catchesUp = watchmux.Liveness{Active: true, CatchesUp: true}
	opening   = watchmux.Liveness{CreateStalled: true}

	checked = proof{checked: 1} // the stream was checked once, right after the start
)

func wait(d time.Duration) action { return action{next: d} }

// The package comment has a table of what a tick (a periodic look at a stream) does. Each of its
// rows, and each time limit, has a row here.
var (
	whileUnanswered = []tick{
		{name: "a check is unanswered, and the process was paused",
			proof: proof{due: -lateTick - 1},
			sight: sight{Liveness: active, pending: true, answers: true},
			want:  wait(minAnswerTimeout)},
		{name: "a check is unanswered, just in time", proof: proof{due: -lateTick},
			sight: sight{Liveness: active, pending: true, answers: true},
			want:  action{probeMembers: true, reconnect: true, next: firstPeriod}},
		{name: "a check is unanswered by a server that answers",
			sight: sight{Liveness: active, pending: true, answers: true},
			want:  action{probeMembers: true, reconnect: true, next: firstPeriod}},
		{name: "a check is unanswered by a server that may not answer",
			sight: sight{Liveness: active, pending: true},
			want:  action{probeMembers: true, next: firstPeriod}},
		{name: "a check is unanswered while a watch catches up",
			sight: sight{Liveness: catchesUp, pending: true, answers: true,
				received: maxAnswerTimeout - 1},
			want: action{probeMembers: true, waitOn: true, next: firstPeriod}},
		{name: "a check is unanswered for long while a watch catches up",
			sight: sight{Liveness: catchesUp, pending: true, answers: true,
				received: maxAnswerTimeout},
			want: action{probeMembers: true, reconnect: true, next: firstPeriod}},
	}
	whileOpening = []tick{
		{name: "creates are unanswered", sight: sight{Liveness: opening, received: firstPeriod},
			want: action{probeMembers: true, next: firstPeriod}},
		{name: "creates are unanswered for a moment",
			sight: sight{Liveness: opening, received: firstPeriod - 1}, want: wait(firstPeriod)},
		{name: "nothing is asked", sight: sight{received: time.Hour}, want: wait(firstPeriod)},
	}
	whileEstablished = []tick{
		{name: "the first check", proof: proof{isFirst: true},
			sight: sight{Liveness: active, mayAsk: true, received: firstPeriod},
			want:  action{check: true, ask: true, quiet: true, next: minAnswerTimeout}},
		{name: "before the first check", proof: proof{isFirst: true},
			sight: sight{Liveness: active, mayAsk: true, received: 400 * ms}, want: wait(600 * ms)},
		{name: "idle", proof: checked,
			sight: sight{Liveness: active, mayAsk: true, answers: true, received: checkPeriod},
			want:  action{check: true, ask: true, quiet: true, next: minAnswerTimeout}},
		{name: "idle for less than the period", proof: checked,
			sight: sight{Liveness: active, mayAsk: true, answers: true, received: firstPeriod},
			want:  wait(checkPeriod - firstPeriod)},
		{name: "idle, the order of notices is unknown", proof: checked,
			sight: sight{Liveness: watchmux.Liveness{Active: true, Untested: true}, mayAsk: true,
				answers: true, received: firstPeriod},
			want: action{check: true, ask: true, quiet: true, next: minAnswerTimeout}},
		{name: "idle, and the last answer was slow", proof: checked,
			sight: sight{Liveness: active, mayAsk: true, answers: true, received: checkPeriod,
				took: time.Second},
			want: action{check: true, ask: true, quiet: true, next: 4 * time.Second}},
		{name: "idle, and the last answer was very slow", proof: checked,
			sight: sight{Liveness: active, mayAsk: true, answers: true, received: checkPeriod,
				took: time.Minute},
			want: action{check: true, ask: true, quiet: true, next: maxAnswerTimeout}},
		{name: "a server that may not be asked", proof: checked,
			sight: sight{Liveness: active, received: time.Hour}, want: wait(checkPeriod)},
		{name: "a watch waits for the future, the server may not be asked", proof: checked,
			sight: sight{Liveness: future, received: checkPeriod},
			want:  action{check: true, quiet: true, next: minAnswerTimeout}},
		{name: "a watch waits for the future, the server is unknown", proof: checked,
			sight: sight{Liveness: future, mayAsk: true, received: checkPeriod},
			want:  action{check: true, quiet: true, next: minAnswerTimeout}},
		{name: "a watch waits for the future, the server answers", proof: checked,
			sight: sight{Liveness: future, mayAsk: true, answers: true, received: checkPeriod},
			want:  action{check: true, ask: true, quiet: true, next: minAnswerTimeout}},
		{name: "busy, a watch falls behind", proof: checked,
			sight: sight{Liveness: watchmux.Liveness{Active: true, FallsBehind: true}, mayAsk: true,
				answers: true, received: ms},
			want: action{check: true, ask: true, next: minAnswerTimeout}},
		{name: "busy, no watch falls behind", proof: checked,
			sight: sight{Liveness: active, mayAsk: true, answers: true, received: ms},
			want:  wait(checkPeriod - ms)},
	}
)

func TestWhatATickDoes(t *testing.T) {
	for _, c := range slices.Concat(whileUnanswered, whileOpening, whileEstablished) {
		t.Run(c.name, func(t *testing.T) {
			const now = 24 * time.Hour
			c.proof.due += now
			c.sight.now, c.sight.received = now, now-c.sight.received
			assert.Equal(t, c.want, c.proof.decide(c.sight))
			assert.Equal(t, now+c.want.next, c.proof.due)
			if c.want.check {
				assert.Equal(t, now, c.proof.checked)
				assert.False(t, c.proof.isFirst)
			}
		})
	}
}

// TestMembersAreProbedOnceInAWhileAsLongAsCreatesAreUnanswered: while create requests are
// unanswered, the members are probed, but not each second. The server may be busy with thousands of
// creates.
func TestMembersAreProbedOnceInAWhileAsLongAsCreatesAreUnanswered(t *testing.T) {
	p := newProof(0)
	var probes []time.Duration
	for now := time.Second; now < 10*time.Second; now += firstPeriod {
		s := sight{Liveness: watchmux.Liveness{CreateStalled: true}, now: now}
		if p.decide(s).probeMembers {
			probes = append(probes, now)
		}
	}
	assert.Equal(t, []time.Duration{time.Second, 4 * time.Second, 7 * time.Second}, probes)

	s := sight{Liveness: watchmux.Liveness{CreateStalled: true}, now: 10 * time.Second,
		received: 9 * time.Second}
	assert.True(t, p.decide(s).probeMembers, "something has come since")
}

// TestBusyStreamsAreCheckedOnceInAWhile: a stream that receives responses all the time is still
// checked now and then if one of its watches may lack events.
func TestBusyStreamsAreCheckedOnceInAWhile(t *testing.T) {
	p := newProof(0)
	checks := 0
	for now := time.Duration(0); now < time.Minute; now += 100 * ms {
		s := sight{Liveness: watchmux.Liveness{Active: true, FallsBehind: true}, now: now,
			received: now, answers: true, mayAsk: true}
		if p.decide(s).check {
			checks++
		}
	}
	assert.Equal(t, 5, checks)
}

func TestServersThatAreAskedForProgress(t *testing.T) {
	start := time.Now()
	s := NewProgressServers()
	expect := func(address string, answers, mayAsk bool) {
		t.Helper()
		gotAnswers, gotMayAsk := s.look(address)
		assert.Equal(t, []bool{answers, mayAsk}, []bool{gotAnswers, gotMayAsk}, address)
	}
	expect("a", false, true)
	s.requested("a", start)
	expect("a", false, false)
	expect("b", false, true)
	s.broken("a", start.Add(neverAnswers-1))
	expect("a", false, true)

	s.requested("a", start)
	s.requested("a", start.Add(neverAnswers)) // by another stream; the first one counts
	s.broken("a", start.Add(neverAnswers))
	expect("a", false, false)

	s.answered("a")
	expect("a", true, true)
	s.requested("a", start)
	s.broken("a", start)
	expect("a", true, true)
}
