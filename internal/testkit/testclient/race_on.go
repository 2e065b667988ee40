//go:build race

package testclient

// Slowdown is how many times longer things may take because of the race detector.
const Slowdown = 10
