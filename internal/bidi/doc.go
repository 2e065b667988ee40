// Package bidi keeps one logical two-way RPC open across reconnects: the link. It knows nothing
// about the messages.
//
// [New] makes a link and [Link.Start] gives it the [Handler], which owns the protocol's state.
//
//	state      event                            next       action
//	idle       Wake, and Options.Idle is false  dialling   open a stream
//	dialling   the stream is open               open       Opened: the handler fills the queue
//	dialling   the dial fails                   waiting    Broken
//	open       message                          open       Received
//	open       stream ends, or Reconnect        waiting    Broken
//	waiting    the wait is over                 dialling   (idle if Options.Idle is true)
//	open       Stop, with a linger              lingering  send what is queued, half-close
//	lingering  stream ends, or the linger does  ended
//	any        Broken asks for no redial,       ended      cancel the stream; Done
//	           the context ends, Close
//
// # Invariants
//
//   - State survives and only the stream is replaced: in Opened the handler derives every request
//     of the new stream from its state. These replace what was still to be sent, so no request
//     meant for one stream reaches a later one.
//   - Receiving and sending have a goroutine each, so a Send that blocks until the peer receives
//     (flow control, or an in-process transport without buffers) never stops the link from
//     receiving.
//   - Handler methods run on the receive goroutine, one at a time.
//   - [Link.Send] only appends to a queue. It may be called from the handler and with the handler's
//     mutex held: the link's mutex is taken last and no handler method is called under it.
//   - The wait before a redial grows with each stream that breaks before anything was received from
//     it, by the policy in [Options], and starts anew after a message.
//   - When the context ends, Broken is called with an error that says so, also if the link waits
//     for a redial. Otherwise the handler would not learn of the end.
//
// # Stop and join
//
// After Stop the handler is not called again, except for a call that is under way or about to be
// made; after Close it is not called at all. This relies on streams that end with their context, as
// gRPC's do, and not on the peer.
package bidi
