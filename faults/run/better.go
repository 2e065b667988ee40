package main

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
)

// These are limits of the noise. If the figures of the two clients differ by less, the report
// ignores the difference, because it may be due to chance. noiseShare limits the ratio of this
// client's figure to the published client's. The other constants limit the difference.
const (
	noiseCalls      = 4
	noiseStall      = 500 * time.Millisecond
	noiseThroughput = 0.1
	noiseShare      = 1.25
)

// compared is a figure for which a smaller value is better.
type compared struct {
	title string
	value func(judge.Figures) float64
	noise float64 // a smaller difference between the clients is ignored
	share float64 // a smaller ratio of this client's figure to the published client's is ignored
	text  func(float64) string
	paced bool // compared only in scenarios with readers or writers
	many  bool // compared only in scenarios with many clients
}

func plain(v float64) string { return fmt.Sprintf("%.0f", v) }

func second(v float64) string { return fmt.Sprintf("%.2f s", v) }

var comparedFigures = []compared{
	{"failed reads", func(f judge.Figures) float64 { return float64(f.FailedReads) },
		noiseCalls, 1, plain, false, false},
	{"failed writes", func(f judge.Figures) float64 { return float64(f.FailedWrites) },
		noiseCalls, 1, plain, false, false},
	{"longest stall of reads", func(f judge.Figures) float64 { return f.ReadStall.Seconds() },
		noiseStall.Seconds(), 1, second, true, false},
	{"longest stall of writes", func(f judge.Figures) float64 { return f.WriteStall.Seconds() },
		noiseStall.Seconds(), 1, second, true, false},
	{"longest stall of a watch", func(f judge.Figures) float64 { return f.Watched.Stall.Seconds() },
		noiseStall.Seconds(), 1, second, true, false},
	{"share of throughput lost", func(f judge.Figures) float64 { return max(1-f.Throughput, 0) },
		noiseThroughput, 1, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) },
		true, false},
	{"leases lost", func(f judge.Figures) float64 { return float64(f.LeasesLost) }, 0, 1, plain,
		false, false},
	{"leases that no call returned", func(f judge.Figures) float64 { return float64(f.Orphans) },
		0, 1, plain, false, false},
	{"time until the last client is served",
		func(f judge.Figures) float64 { return f.Served.Seconds() }, noiseStall.Seconds(), 1,
		second, false, false},
	{"peak memory, MiB", func(f judge.Figures) float64 { return float64(f.PeakRSS >> 20) }, 0,
		noiseShare, plain, false, true},
	{"CPU a second, ms", func(f judge.Figures) float64 { return float64(f.CPU.Milliseconds()) }, 0,
		noiseShare, plain, false, true},
	{"goroutines", func(f judge.Figures) float64 { return float64(f.Goroutines) }, 0, noiseShare,
		plain, false, false},
}

// better lists the figures for which the published client did better, by more than the noise.
func better(scs []scenario, all []judge.Figures) string {
	var b strings.Builder
	for _, sc := range scs {
		pair := of(sc, all)
		if len(pair) != 2 {
			continue
		}
		for _, c := range comparedFigures {
			if c.paced && !hasCalls(sc) || c.many && sc.plan.Clients == 0 {
				continue
			}
			this, published := c.value(pair[0]), c.value(pair[1])
			if this > published+c.noise && this > published*c.share {
				fmt.Fprintf(&b, "- %s: %s, %s with this client and %s with the published one\n",
					sc.name, c.title, c.text(this), c.text(published))
			}
		}
	}
	if b.Len() == 0 {
		return "In no scenario by more than a run differs from the next one.\n"
	}
	return b.String()
}
