// Package faultnet is a TCP proxy in front of one server that makes the network between it and its
// clients fail on demand.
//
// Each direction of a connection has a reader, a queue that is bounded in bytes, and a writer.
// Faults are rules that reader and writer look up for every chunk, so they act on all connections,
// open and new, until Heal.
//
// Blackhole, Pause, Delay and Throttle hold bytes back and lose none, as TCP does when lost packets
// are sent again: after Heal the connection goes on. They hold the end of a connection back too, so
// a client behind a Blackhole does not learn that its server has closed. Only Drop, CutAfter
// and Reset lose bytes.
//
// The proxy differs from a network that loses packets in one thing: the kernel under the proxy
// still acknowledges what the client sends, so TCP's own timers see a peer that is alive.
package faultnet
