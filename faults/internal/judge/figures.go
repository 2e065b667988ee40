package judge

import (
	"fmt"
	"time"

	"go.etcd.io/etcd/client/v3/faults/internal/record"
)

// Figures are the results of a run of one scenario with one client.
type Figures struct {
	Scenario, Client string

	// Throughput is the rate of successful calls during the fault, divided by the rate before it.
	Throughput                float64
	FailedReads, FailedWrites int
	ReadStall, WriteStall     time.Duration

	Watched  `json:"watched"`
	Reopened int // watches that were closed and opened again

	Written            `json:"written"`
	Leases, LeasesLost int
	Grants, Orphans    int
	Holds, Overlaps    int
	History            string // porcupine's verdict, "" if there is none

	CPU        time.Duration // the average CPU time per second during the fault
	PeakRSS    uint64
	Goroutines int
	// Served is the time from the end of the fault until every one of the plan's many clients had a
	// successful read. Clients that Unserved counts are left out.
	Served   time.Duration
	Unserved int // those of the many clients whose last read failed

	Asked  int // logins or connections, in a scenario that counts them
	Errors map[string]int
}

// Judge returns the figures of a run.
func Judge(r Run) Figures {
	p, rec := r.Phases, r.Record
	done := sum(rec.Reads, rec.Writes)
	f := Figures{
		FailedReads: len(rec.FailedReads), FailedWrites: len(rec.FailedWrites),
		ReadStall:  Stall(rec.Reads, rec.Start, p.Fault, p.End),
		WriteStall: Stall(rec.Writes, rec.Start, p.Fault, p.End),
		Watched:    Watches(r),
		Written:    Writes(r.History, rec.Acked, rec.Unsure),
		Leases:     len(rec.Leases), LeasesLost: Leases(rec.Leases, r.Alive),
		Grants: rec.Grants, Holds: len(rec.Holds), Overlaps: Overlaps(rec.Holds),
		History: string(Linearizable(r.History, rec.Ops)), PeakRSS: rec.PeakRSS,
		Errors: rec.Errors,
	}
	if rec.Grants > 0 {
		f.Orphans = Orphans(rec, r.Alive)
	}
	if before := rate(done, rec.Start, p.Before, p.Fault); before > 0 {
		f.Throughput = rate(done, rec.Start, p.Fault, p.Healed) / before
	}
	for _, w := range rec.Watches {
		f.Reopened += w.Reopened
	}
	for _, u := range rec.Usage {
		f.Goroutines = max(f.Goroutines, u.Goroutines)
	}
	for _, at := range rec.Served {
		if at == 0 {
			f.Unserved++
			continue
		}
		f.Served = max(f.Served, time.Duration(at-p.Healed))
	}
	f.CPU = cpu(rec.Usage, p.Fault, p.Healed)
	return f
}

// Violations returns how often the client broke each promise of etcd that holds in spite of any
// fault, for example that no write is lost.
func (f Figures) Violations() []string {
	var found []string
	for _, v := range []struct {
		n    int
		what string
	}{
		{f.Lost, "watch events lost"}, {f.Watched.Twice, "watch events twice"},
		{f.Disordered, "watch events out of order"}, {f.Wrong, "watch events wrong"},
		{f.Written.Twice, "writes applied twice"}, {f.Missing, "writes lost"},
		{f.Overlaps, "times held twice"},
	} {
		if v.n > 0 {
			found = append(found, fmt.Sprintf("%d %s", v.n, v.what))
		}
	}
	if f.History == "Illegal" {
		found = append(found, "a history that is not linearizable")
	}
	return found
}

// Stall returns the longest time without a successful call between the times from and to. The
// element i of counts is the number of successes in interval i after start; each interval has the
// length [record.Bucket].
func Stall(counts []int32, start, from, to int64) time.Duration {
	first, last := bucket(start, from), bucket(start, to)
	longest, empty := 0, 0
	for i := first; i < last; i++ {
		empty++
		if i < len(counts) && counts[i] > 0 {
			empty = 0
		}
		longest = max(longest, empty)
	}
	return time.Duration(longest) * record.Bucket
}

func bucket(start, at int64) int { return max(int((at-start)/record.Bucket), 0) }

// rate returns how many successes a second there were between two times.
func rate(counts []int32, start, from, to int64) float64 {
	n := int32(0)
	for i := bucket(start, from); i < min(bucket(start, to), len(counts)); i++ {
		n += counts[i]
	}
	return float64(n) / time.Duration(to-from).Seconds()
}

// sum adds the counts element by element.
func sum(a, b []int32) []int32 {
	all := make([]int32, max(len(a), len(b)))
	for i, n := range a {
		all[i] += n
	}
	for i, n := range b {
		all[i] += n
	}
	return all
}

// cpu returns the CPU time used per second, on average, between the times from and to.
func cpu(usage []record.Usage, from, to int64) time.Duration {
	var first, last record.Usage
	for _, u := range usage {
		if first.At == 0 && u.At >= from {
			first = u
		}
		if u.At <= to {
			last = u
		}
	}
	if first.At == 0 || last.At <= first.At {
		return 0
	}
	return time.Duration(float64(last.CPU-first.CPU) / float64(last.At-first.At) * 1e9)
}
