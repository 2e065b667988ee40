package faultnet

import "time"

// rules are the faults of a proxy that are in force.
type rules struct {
	paused, refuse  bool
	blackhole, drop Direction
	delay           time.Duration
	rate            int         // bytes per second; 0 means no limit
	cut             Direction   // directions in which CutAfter is in force
	left            [Both]int64 // how many bytes still pass before CutAfter cuts, by direction
}

// change applies f to the rules and wakes all goroutines that wait for a change of the rules.
func (p *Proxy) change(f func(*rules)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.rules)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Blackhole lets nothing through in a direction, as if every packet were lost. Even the end of a
// connection is held back. New connections are accepted, but not forwarded to the server if the
// direction includes ToServer. Heal delivers the bytes that were held back.
func (p *Proxy) Blackhole(dir Direction) { p.change(func(r *rules) { r.blackhole |= dir }) }

// Drop discards all bytes in a direction while the connections stay open. Heal resets the
// connections that have lost bytes, because their receivers cannot make sense of later bytes.
func (p *Proxy) Drop(dir Direction) { p.change(func(r *rules) { r.drop |= dir }) }

// Delay makes all bytes arrive d later in both directions. A round trip then takes 2d longer. The
// throughput does not change. Delay(0) ends the delay.
func (p *Proxy) Delay(d time.Duration) { p.change(func(r *rules) { r.delay = d }) }

// Throttle limits each direction of each connection to bytesPerSec bytes a second. Throttle(0) ends
// the limit.
func (p *Proxy) Throttle(bytesPerSec int) { p.change(func(r *rules) { r.rate = bytesPerSec }) }

// Pause stops reading and forwarding in both directions, as a stopped process does. Connections can
// still be made, nothing is answered, and senders block once the buffers on the way are full.
func (p *Proxy) Pause() { p.change(func(r *rules) { r.paused = true }) }

// Resume ends the fault that Pause has made. Bytes that were held back are delivered.
func (p *Proxy) Resume() { p.change(func(r *rules) { r.paused = false }) }

// Refuse resets new connections at once. Open connections stay.
func (p *Proxy) Refuse() { p.change(func(r *rules) { r.refuse = true }) }

// CutAfter closes the connection that carries the n-th byte from now, right after this byte. It
// counts the bytes in the direction dir, over all connections together. Later connections are not
// closed. With Both, each direction has its own count and closes one connection.
func (p *Proxy) CutAfter(dir Direction, n int64) {
	p.change(func(r *rules) { r.cut, r.left[ToServer], r.left[ToClient] = r.cut|dir, n, n })
}

// Reset ends all open connections with a TCP reset to both sides, and returns the number of these
// connections.
func (p *Proxy) Reset() int {
	links := p.open()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// Heal ends all faults. Bytes that were held back are delivered. Connections that have lost bytes
// are reset.
func (p *Proxy) Heal() {
	p.change(func(r *rules) { *r = rules{} })
	for _, l := range p.open() {
		if l.lost.Load() {
			l.reset()
		}
	}
}

// take counts n more bytes that a connection is about to carry in the direction dir. It returns how
// many of them the connection may carry. If CutAfter demands that the connection is then closed, it
// also returns true.
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
