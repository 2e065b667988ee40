package faultnet

import "time"

// rules are the faults in force.
type rules struct {
	paused, refuse  bool
	blackhole, drop Direction
	delay           time.Duration
	rate            int         // bytes per second; 0 is no limit
	cut             Direction   // whose connection is closed after left bytes
	left            [Both]int64 // by direction
}

// change applies f to the rules and wakes everything that waits on them.
func (p *Proxy) change(f func(*rules)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.rules)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Blackhole lets nothing through in a direction, not even the end of a connection, as if every
// packet were lost. New connections are taken but, with ToServer, not forwarded. Heal delivers what
// was held back.
func (p *Proxy) Blackhole(dir Direction) { p.change(func(r *rules) { r.blackhole |= dir }) }

// Drop discards all bytes in a direction while the connections stay open. Heal resets the
// connections that lost some, because the bytes that would follow make no sense.
func (p *Proxy) Drop(dir Direction) { p.change(func(r *rules) { r.drop |= dir }) }

// Delay makes everything arrive d later in both directions, so that a round trip takes 2d longer.
// The throughput stays. 0 ends it.
func (p *Proxy) Delay(d time.Duration) { p.change(func(r *rules) { r.delay = d }) }

// Throttle limits each direction of each connection to so many bytes a second; 0 ends it.
func (p *Proxy) Throttle(bytesPerSec int) { p.change(func(r *rules) { r.rate = bytesPerSec }) }

// Pause stops reading and forwarding in both directions, as a stopped process does: connections are
// still made, nothing is answered, and senders block once the buffers on the way are full.
func (p *Proxy) Pause() { p.change(func(r *rules) { r.paused = true }) }

// Resume undoes Pause.
func (p *Proxy) Resume() { p.change(func(r *rules) { r.paused = false }) }

// Refuse resets new connections at once; open ones stay.
func (p *Proxy) Refuse() { p.change(func(r *rules) { r.refuse = true }) }

// CutAfter closes the connection that carries the n-th byte from now on in a direction, right after
// that byte. The bytes of all connections count together. Later connections are not cut.
func (p *Proxy) CutAfter(dir Direction, n int64) {
	p.change(func(r *rules) { r.cut, r.left[ToServer], r.left[ToClient] = r.cut|dir, n, n })
}

// Reset ends all open connections with a TCP reset to both sides and returns how many there were.
func (p *Proxy) Reset() int {
	links := p.open()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// Heal ends all faults. What was held back is delivered.
func (p *Proxy) Heal() {
	p.change(func(r *rules) { *r = rules{} })
	for _, l := range p.open() {
		if l.lost.Load() {
			l.reset()
		}
	}
}

// take returns how many of n bytes a connection may still carry, and whether it is cut after them.
func (p *Proxy) take(dir Direction, n int) (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := &p.rules.left[dir]
	if p.rules.cut&dir == 0 || int64(n) < *left {
		*left -= int64(n)
		return n, false
	}
	p.rules.cut &^= dir
	return int(*left), true
}
