// Package bidi keeps a bidirectional RPC going across reconnects. A [Link] opens a new stream each
// time one breaks. It does not look into the messages.
//
// [New] makes a link, and [Link.Start] gives it the [Handler], which has the protocol's state.
//
//	state      event                            next       action
//	idle       Wake, and Options.Idle is false  dialling   open a stream
//	dialling   the stream is open               open       Opened: the handler fills the queue
//	dialling   the dial fails                   waiting    Broken
//	open       a message arrives                open       Received
//	open       stream ends, or Reconnect        waiting    Broken
//	waiting    the wait is over                 dialling   (idle if Options.Idle is true)
//	open       Stop, with a linger              lingering  send what is queued, half-close
//	lingering  stream ends, or linger is over   ended
//	any        Broken asks for no redial,       ended      cancel the stream; Done
//	           the context ends, Close
//
// # Invariants
//
//   - A new stream starts from the handler's state: in Opened the handler derives the first
//     requests from its state. These replace the requests that were queued, so no request meant for
//     one stream is sent on a later one.
//   - Receiving and sending have a goroutine each. A Send may block until the peer receives,
//     because of flow control or because an in-process transport has no buffer. The link goes on
//     receiving meanwhile.
//   - Handler methods run on the receive goroutine, one at a time.
//   - [Link.Send] only appends to a queue. It may be called from the handler and with the handler's
//     mutex held: the link's mutex is taken last, and no handler method is called under it.
//   - The wait before a redial follows the policy in [Options]. It grows with each stream that
//     breaks before a message was received on it, and starts anew after a message.
//   - When the context ends, Broken is called with an error that says so, also while the link waits
//     before a redial. Otherwise the handler would not learn that the link has ended.
//
// # Stop and join
//
// After Stop, a call of the handler that is under way or about to be made still runs, and no other
// follows. After Close has returned, the handler is not called at all. Close relies on streams that
// end with their context, as gRPC's do. It does not rely on the peer.
package bidi
