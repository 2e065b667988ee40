//go:build !race

package clientv3_test

// slowdown is how much longer things may take under the race detector.
const slowdown = 1
