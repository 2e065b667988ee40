// Package record has what the programs of the comparison hand each other: the plan, which tells the
// client program what to do, and the record of what it has seen. Times are Unix nanoseconds, which
// all processes of a machine share.
package record

import "fmt"

// Names of the two clients that are compared: the one of this repository and the published one.
const (
	This      = "this"
	Published = "published"
)

// Contenders has the names of the compared clients, in the order in which they run.
var Contenders = []string{This, Published}

// Prefixes of the keys that the parts of the load use.
const (
	LoadPrefix     = "load/"
	RegisterPrefix = "reg/"
	GuardPrefix    = "guard/"
)

// Values of [Plan.Guard]: what the contenders of the load compete for.
const (
	Mutex    = "mutex"
	Election = "election"
)

// ContenderKey returns the key that holds the number of the contender whose session has the lease.
func ContenderKey(lease int64) string { return fmt.Sprintf("%swho/%x", GuardPrefix, lease) }

// Bucket is the length, in nanoseconds, of the intervals for which a [Record] counts successful
// calls.
const Bucket = 10_000_000

// Plan tells the client program what to do. A field that is zero leaves out its part of the load.
type Plan struct {
	Endpoints          []string
	Username, Password string
	CA                 string // a PEM file of CA certificates; without it, no TLS
	AutoSyncSeconds    int

	Readers, Writers int
	Watches          bool // open one watch of each kind
	Bulk             bool // one writer writes large values
	PastRevision     int64
	Leases           int
	TTL              int64  // of leases and sessions, in seconds
	Registers        int    // callers that get, put and swap registers
	Granters         int    // callers that grant one lease after another
	Guard            string // Mutex, Election, or "" for no contenders
	Clients          int    // more clients; each opens a watch and reads every second

	// Broken names a defect that the program adds on purpose, to test that the judge finds it.
	Broken string
}

// Record is what the client program has seen.
type Record struct {
	Versions map[string]string
	Start    int64

	// Reads and Writes count the successful calls in each interval of length Bucket since Start.
	Reads, Writes []int32
	// FailedReads and FailedWrites have the time of each failed call.
	FailedReads, FailedWrites []int64
	// Errors has, for each error text, the number of calls that failed with it.
	Errors map[string]int

	// Acked has the ids of the puts that succeeded, Unsure the ids of the puts that failed.
	Acked, Unsure []int64

	Watches []Watch
	Leases  []Lease
	Grants  int // calls of Grant
	Granted []int64
	Ops     []Op
	Holds   []Hold
	Usage   []Usage
	PeakRSS uint64
	// Served has, for each of the plan's many clients, the time of the first successful read since
	// the last failed one. It is zero if the last read failed.
	Served []int64
}

// Watch is what one watch has delivered.
type Watch struct {
	Kind     string
	Key, End string // End is empty for a single key
	From     int64  // the first revision that is to be delivered

	NoPut, NoDelete, PrevKV bool

	Events   []Event
	Gaps     []Gap
	Notices  []Notice
	Reopened int // how often the watch was opened again because its channel was closed
}

// Event is one event of a watch. Its revision identifies it, because the load changes only one key
// in each revision.
type Event struct {
	Rev    int64  `json:"r"`
	Key    string `json:"k"`
	Delete bool   `json:"d,omitempty"`
	Prev   int64  `json:"p,omitempty"` // ModRevision of PrevKv
	At     int64  `json:"a"`
}

// Gap is a range of revisions, After+1 to Until-1, that a watch reported as compacted.
type Gap struct{ After, Until int64 }

// Notice is a progress notice of the revision Rev. After is the number of events that the watch had
// delivered before the notice.
type Notice struct {
	After int
	Rev   int64
}

// Lease is a lease that the client keeps alive. Closed is the time at which the channel of
// KeepAlive was closed, or zero if it stayed open.
type Lease struct{ ID, Closed int64 }

// Op is one operation on a register.
type Op struct {
	Worker     int
	Key        string
	Kind       string // get, put or swap
	Value, Old string // what a put or swap writes, and what a swap expects to find
	Seen       string // what a get returned
	Done       bool   // the swap was made
	Unknown    bool   // the operation failed, but may have been applied
	Start, End int64
}

// Hold is an interval in which a contender believed that it held the lock or was the leader. End is
// just before the contender unlocks or resigns, or when the contender's session is lost.
// Revision is the create revision of the leader's key, or the revision in the mutex's header.
type Hold struct {
	Contender  int
	Start, End int64
	Revision   int64
}

// Usage is a measurement of the process at the time At. CPU is the CPU time, in nanoseconds, that
// the process has used until then.
type Usage struct {
	At, CPU    int64
	Goroutines int
}
