// Package watchmux is the Watch protocol of one gRPC stream, for any number of watchers, as a state machine: it holds no
// goroutine, channel or timer. A [Mux] is the handler of a bidi link; it derives every request from its state, so that a
// new stream needs no queue of the old one.
//
// # States of a watcher
//
//	queued    waits for its create request to be sent
//	creating  the request is in flight
//	active    the server has confirmed it under an id
//	paused    its consumer is over the limit; cancelled on the server until the consumer has caught up
//	abandoned its context ended while the request was in flight: the slot is kept, and the id cancelled once known
//	done      its sink has had the last call
//
// A stream that breaks puts all that are creating or active back into the queue, in the order in which they were added;
// ids, half-received fragments and progress requests die with it, and only the revision to resume from is kept.
//
// # Revisions
//
// Each watcher has two. next is where it resumes: the revision asked for, or, for a watch from "now", the one after that of
// its first created response; then one past the last event delivered or progress told. floor is what was asked of the
// current stream and one past the last event: events below it have been delivered before, or lie before the start, and are
// dropped. Progress moves next but not floor, so that no notice can ever cause an event that follows it to be dropped.
//
// # Ids
//
// Servers choose watch ids, except that etcd takes over an id the client puts into the create request. That makes it safe
// to have many creates in flight, for each answer names its request. It is tried only where many watchers are queued, as
// some servers of the protocol take such ids for none; where the first one is answered with another id, creates go one by one.
// Where it is not answered in time they do so on another stream, as nothing on this one would tell what a late answer is to.
// An id is never used twice, so nothing that comes late reaches the wrong watcher. A refused create is answered without its
// id: with several in flight it is attributed once all the others have been answered.
//
// # Progress
//
// A requested progress notice has id −1 and speaks for all watchers that existed when the server computed it. The server
// may send it after the confirmation of a younger watcher, to which it does not apply. Such a watcher ignores notices as
// long as they may be older than itself and speak for what it is owed: see progress. Old servers may even send notices before
// events of watchers that existed: see Config.Doubtful.
package watchmux
