//go:build unix

package linearizability

import (
	"time"

	"github.com/stretchr/testify/require"
)

// settling is how long it may take until a fault shows in the results of a client.
const settling = int64(100 * time.Millisecond)

// incident is a fault that a client process had.
type incident struct {
	kind     string // cutOff or stopped
	client   int
	from, to int64 // times of the clock that event.Start uses
}

const (
	cutOff  = "cut off"
	stopped = "stopped"
)

// happened records that clients have a fault while f runs.
func (tr *trial) happened(kind string, f func(), who ...int) {
	from := now()
	f()
	for _, client := range who {
		tr.incidents = append(tr.incidents, incident{kind, client, from, now()})
	}
}

// killed counts a member that was killed. It fails the test if the member is still running.
func (tr *trial) killed(running bool) {
	require.False(tr.t, running, "a member that was killed")
	tr.kills++
}

// checkIncidents checks that the faults were real: during an incident, a client that was cut off
// has failed calls, and a client that was stopped began no operation. The parameter byClient holds
// the events of each client.
func (tr *trial) checkIncidents(byClient [clients][]event) {
	count := map[string]int{}
	for _, in := range tr.incidents {
		count[in.kind]++
		failed, begun, lost := tr.during(in, byClient)
		tr.t.Logf("client %d was %s for %v: began %d operations, %d failed; others wrote %d times "+
			"what it had read", in.client, in.kind, time.Duration(in.to-in.from), begun, failed,
			lost)
		switch in.kind {
		case cutOff:
			require.Positive(tr.t, failed)
		case stopped:
			require.Zero(tr.t, begun)
			require.Greater(tr.t, in.to-in.from, int64(leaseTTL*time.Second))
			count["lost"] += lost
		}
	}
	tr.t.Logf("%d kills, %v", tr.kills, count)
	require.GreaterOrEqual(tr.t, tr.kills, 2)
	require.GreaterOrEqual(tr.t, count[cutOff], 2)
	require.GreaterOrEqual(tr.t, count[stopped], 4)
	require.GreaterOrEqual(tr.t, count["lost"], count[stopped],
		"what stopped clients had read was written by others")
}

// during counts what happened during an incident. The result begun counts the operations that the
// client of the incident began, and failed counts its calls that failed. The result lost counts the
// writes of other clients to keys that this client had read before the incident.
func (tr *trial) during(in incident, byClient [clients][]event) (failed, begun, lost int) {
	read := map[string]bool{}
	for _, e := range byClient[in.client] {
		read[e.Key] = read[e.Key] || e.End < in.from
		if e.Start > in.from+settling && e.Start < in.to {
			begun++
		}
		if e.Unknown && e.End > in.from && e.Start < in.to {
			failed++
		}
	}
	for client, events := range byClient {
		for _, e := range events {
			wrote := e.Op == "put" || e.Done
			if client != in.client && wrote && !e.Unknown && read[e.Key] && e.Start > in.from &&
				e.End < in.to {
				lost++
			}
		}
	}
	return failed, begun, lost
}
