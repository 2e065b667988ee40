// Package watchmux is the Watch protocol of one gRPC stream, for any number of watchers, as a state
// machine: it holds no goroutine, channel or timer. A [Mux] is the handler of a bidi link; it
// derives every request from its state, so that a new stream needs no queue of the old one.
//
// # States of a watcher
//
//	queued    waits for its create request to be sent
//	creating  the request is in flight
//	active    the server has confirmed it under an id
//	paused    its consumer is over the limit; cancelled on the server until the consumer has caught up. Or it is held back,
//	          as its messages may be those over the client's limit
//	abandoned its context ended while the request was in flight: the slot is kept, and the id cancelled once known
//	done      its sink has had the last call
//
// A stream that breaks puts all that are creating or active back into the queue, in the order in
// which they were added; ids, half-received fragments and progress requests die with it, and only
// the revision to resume from is kept.
//
// # Revisions
//
// Each watcher has two. next is where it resumes: the revision asked for, or, for a watch from
// "now", the one after that of its first created response; then one past the last event delivered
// or progress told. floor is what was asked of the current stream, or the revision of the last
// event: events below it have been delivered before, or lie before the start, and are dropped; a
// revision may go on in the next response. Progress moves next but not floor, so that no notice can
// ever cause an event that follows it to be dropped.
//
// # Options of the mux's own
//
// Servers choose watch ids, except that etcd takes over an id the client puts into the create
// request. That makes it safe to have many creates in flight, for each answer names its request.
// And etcd sends large responses in fragments where a create asks for that. Other servers of the
// protocol refuse or ignore such options. So they are tried where many watchers are queued, or one
// begins in the past, with one create (mode trying), which always carries an id:
//
//	answered under that id    the server takes options; that is remembered, and later streams begin with a window
//	answered under another    the server assigns ids: no options any more
//	unanswered for a while    the same watch is asked for once more without: see Overdue
//	refused, then accepted    without options: no options any more
//	stream ended by it        with a status that may mean an option: no options any more; with another one:
//	                          the next stream goes without, and after the second time all do
//
// What was learnt is kept in [Servers], for all muxes of a client. An id is never used twice, so
// nothing that comes late reaches the wrong watcher. A refused create is answered without its id:
// with several in flight it is attributed once all the others have been answered.
//
// # Large responses
//
// Fragments are delivered by revisions: each as soon as the next one has begun or the response has
// ended; see assemble. Over its consumer's limit a watcher pauses between two revisions. A message
// over the client's own limit ends the stream; see oversize for how the watcher is found that it
// was for.
//
// # Progress
//
// A requested progress notice has id −1 and speaks for all watchers that existed when the server
// computed it. The server may send it after the confirmation of a younger watcher, to which it does
// not apply. Such a watcher ignores notices as long as they may be older than itself and speak for
// revisions that it is yet to be sent: see progress.
//
// Servers before 3.4.25 and 3.5.8 answer at once, ahead of events that wait in a queue of their
// own, and also while a watcher catches up. A notice of such a server must not move the revision to
// resume from. Which kind a server is, is shown by the stream itself, never by a version:
//
//	untested  the server has answered; of a pair "create from the past, progress" it is not known which it answers
//	testing   the pair is sent for a shadow; when the shadow is confirmed, a watch is cancelled
//	ordered   the cancel was answered and the request was not
//	unordered the request was answered; tested again, maxOrderTests times in all
//
// Why this proves it: old servers put the answer to a request into the queue of confirmations and
// answers to cancels, which keeps its order, so that it precedes the answer to a cancel that was
// sent later. Servers that keep notices and events in one queue leave the request unanswered while
// a watch of the stream catches up, as each does that begins at a revision of the past until the
// server looks after it, ten times a second. Where it does so between the two requests, the test
// says nothing.
//
// On an ordered stream a notice moves each watcher that it applies to. Elsewhere a notice moves
// watchers only when a later one has come, and the stream was quiet for a second between the two:
// what was in the server's queues has been sent before the later one then, as nothing held the
// queues up. A watcher that may still catch up, because it was created from a revision of the past,
// is not moved at all: the server reads the past for longer than any wait would be.
//
// A notice of the lesser kind is shown to consumers who asked, as there is nothing better to show.
//
// # Shadows
//
// A shadow is a second create for an active watcher, from the latest revision that the stream has
// shown. It has no sink. Once it is confirmed, either it is cancelled, or the watcher takes its id
// over and its own former id is cancelled; where it is refused, or the stream breaks, the watcher
// is as before. A watcher takes it over if it waits for a revision that the store has not reached:
// etcd answers no request for progress on a stream with such a watch. What the new id sends below
// floor is dropped, and a compaction up to next ends the new id only.
package watchmux
