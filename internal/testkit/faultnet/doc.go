// Package faultnet is a TCP proxy in front of one server that makes the network between it and its
// clients fail on demand.
//
// Faults act on all connections, open and new, until Heal. Whatever is held back by a fault is
// delivered in order afterwards, as TCP does when lost packets are sent again; only Drop, CutAfter,
// Reset and HalfClose lose bytes.
package faultnet
