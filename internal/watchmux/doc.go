// Package watchmux is the Watch protocol of one gRPC stream, for any number of watchers, as a state
// machine: it has no goroutine, channel or timer. A [Mux] is the handler of a bidi link. It derives
// every request from its state, so a new stream needs nothing of the old one.
//
// # States of a watcher
//
//	state      event                                      next       action
//	queued     first in the queue, the window has room    creating   send a create from next
//	creating   the server confirms it under an id         active     Created, the first time
//	creating   refused for the first time                 queued     first in the queue; a new
//	                                                                 stream if it is the token
//	creating   refused again                              done       Done, on this watcher only
//	creating   its context ends                           abandoned  once confirmed, cancel the id
//	active     events, progress                           active     deliver, move the revisions
//	active     the server cancels it, or compaction       done       Done; cancel if compacted
//	active     its context ends                           done       cancel
//	active     its backlog is over the limit              paused     cancel
//	paused     its consumer has read all                  queued
//	active     its shadow is confirmed (see below)        active     take over the shadow's id,
//	                                                                 cancel the old one
//	creating,  a message over the client's limit broke    queued,    the last of the watchers that
//	active     the stream, see oversize                   paused     may be the reason ends
//	creating,  the stream breaks                          queued     in the order in which they
//	active                                                           were added
//	any        the stream ends for good, or Halt          done       Done with the error
//
// # Invariants
//
//   - A watcher that is neither abandoned nor done is in one place: the queue, the creates in
//     flight, the table of ids, or among the paused. The mux counts them, and stops its link when
//     the last one has left.
//   - The revision to resume from moves only with what the sink has been given, and with progress.
//     A watcher that was paused or lost its stream resumes where its consumer's backlog ends.
//   - A stream that breaks takes ids, half-received fragments and progress requests with it.
//   - An id is used once in the life of a mux, so a late response for an old id finds no watcher.
//   - A watcher ends once: by a Cancel that returned true, or by one call of Done.
//   - Requests enter the link's queue under the mux's mutex, so their order is that of the
//     decisions. Which progress notices are stale depends on that order.
//   - The link's queue is bounded: creates by the window, cancels by the ids in use, and one
//     request for progress.
//   - Whatever a server sends is ignored, refuses one watcher, or makes the mux reconnect.
//
// # Revisions
//
// Each watcher has two. next is where it resumes: the revision asked for, or, for a watch from
// "now", the one after that of its first created response; then one past the last event delivered
// or the last progress. floor is what was asked of the current stream, or the revision of the last
// event: events below it were delivered before, or lie before the start, and are dropped. A
// revision may continue in the next response. Progress moves next but not floor, so no notice can
// cause an event that follows it to be dropped.
//
// # Options of the mux's own
//
// Servers choose watch ids, except that etcd takes an id that the client puts into the create. That
// makes it safe to have many creates in flight, because each answer names its request. And etcd
// sends large responses in fragments if a create asks for that. Other servers of the protocol
// refuse or ignore such options. So the mux tries them once, when many watchers are queued or one
// begins in the past, with one create that carries an id (mode trying):
//
//	answered under that id    the server takes options; that is remembered, and later streams
//	                          begin with a window
//	answered under another    the server assigns ids: no more options
//	unanswered for a while    the create is sent once more without options: see Overdue
//	refused, then accepted    without options: no more options
//	the stream is ended       with a status that may be about an option: no more options; with
//	                          another one: the next stream goes without them, and after the second
//	                          time all streams do
//
// What was learnt is kept in [Servers], for all muxes of a client. A refused create is answered
// without its id: with several in flight, the refusal is attributed once all others were answered.
//
// # Large responses
//
// Fragments are delivered revision by revision: each when the next one has begun or the response
// has ended, see assemble. A watcher may pause between two revisions. Up to two buffers of
// fragments are put together only for a consumer who asked for fragments, or on a client without a
// limit on messages.
//
// A message over the client's limit ends the stream; oversize finds the watcher that it was for.
//
// # Progress
//
// A requested progress notice has id −1 and is about all watchers that existed when the server
// computed it. The server may send it after the confirmation of a younger watcher, to which it does
// not apply. Such a watcher ignores notices as long as they may be older than itself and speak for
// revisions that it has yet to receive: see progress.
//
// Servers before 3.4.25 and 3.5.8 answer at once, ahead of events that wait in a queue of their
// own, and also while a watcher catches up. A notice of such a server must not move the revision to
// resume from. The stream itself shows which kind a server is, never its version:
//
//	untested   the server has answered; the order is not known
//	testing    a pair "create from the past, progress" is sent for a shadow; when the shadow is
//	           confirmed, a watch is cancelled
//	ordered    the cancel was answered and the request was not
//	unordered  the request was answered; tested again, maxOrderTests times in all
//
// Why this proves it: old servers put the answer to a request into the queue of confirmations and
// answers to cancels, which keeps its order, so it precedes the answer to a cancel that was sent
// later. Servers that keep notices and events in one queue leave the request unanswered while a
// watch of the stream catches up. Each watch from a past revision does so until the server looks
// after it, ten times a second. If the server does that between the two requests, the test proves
// nothing.
//
// On an ordered stream a notice moves each watcher that it applies to. On any other stream a notice
// moves watchers when a later one has come and the stream was quiet for a second between the two:
// the server has then sent what was in its queues. A watcher that may still catch up, because it
// was created from a past revision, is not moved at all: a server may read the past for longer than
// any wait. Consumers who asked for progress are shown the notices of both kinds.
//
// # Shadows
//
// A shadow is a second create for an active watcher, from the latest revision that the stream has
// shown. It has no sink. When it is confirmed, either it is cancelled, or the watcher takes over
// its id and the watcher's former id is cancelled. If it is refused, or the stream breaks, the
// watcher stays as it was. A watcher takes it over if it waits for a revision that the store has
// not reached: etcd answers no request for progress on a stream with such a watch. Events of the
// new id below floor are dropped, and a compaction up to next ends the new id only.
package watchmux
