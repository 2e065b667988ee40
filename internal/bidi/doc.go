// Package bidi keeps a bidirectional RPC going across reconnects. A [Link] opens a new stream each
// time one breaks. A link does not look into the messages.
//
// [New] makes a link. [Link.Start] gives the link its [Handler], which implements the protocol and
// holds the protocol's state. A new link is idle. The function Options.Idle reports whether no
// stream is needed now. If Options.Idle is nil, a stream is always needed.
//
//	state      event                               next       action
//	idle       Start or Wake; Options.Idle is      dialling   call Dial
//	           false
//	dialling   the stream is open                  open       call Opened: the handler queues the
//	                                                          first requests
//	dialling   the dial fails                      waiting    call Broken
//	open       a message arrives                   open       call Received
//	open       the stream ends, or Reconnect       waiting    call Broken
//	waiting    the wait is over                    dialling   call Dial
//	waiting    the wait is over; Options.Idle is   idle
//	           true
//	open       Stop, and Options.Linger is set     lingering  send the queued requests, half-close
//	lingering  the stream ends, or Options.Linger  ended      cancel the stream, call Options.Done
//	           is over
//	open       Stop, and Options.Linger is 0       ended      cancel the stream, call Options.Done
//	any        Stop while there is no stream       ended      call Options.Done
//	any        Broken asks for no redial, the      ended      cancel the stream, call Options.Done
//	           context ends, or Close
//
// # Invariants
//
//   - In Opened the handler derives the first requests of a new stream from its state. They replace
//     the requests that were queued. So no request that was meant for one stream is sent on a later
//     stream.
//   - Receiving and sending have a goroutine each. Send of a stream may block until the peer
//     receives, because of flow control or because an in-process transport has no buffer. The link
//     goes on receiving meanwhile.
//   - Handler methods run on the receive goroutine, one at a time.
//   - [Link.Send] only appends to a queue. It may be called from the handler, and with the
//     handler's mutex held. The link's mutex is taken last, and no handler method is called under
//     it.
//   - The wait before a redial follows the policy in [Options]. It grows with each stream that
//     breaks before a message was received on it. A received message resets it to the smallest.
//   - When the context ends, Broken is called with an error that says so, also while the link waits
//     before a redial. Otherwise the handler would not learn that the link has ended.
//
// # Stop and join
//
// When Stop is called, a handler method may be running or about to be called. This call still runs,
// and no other call follows. After Close has returned, the handler is not called at all. Close
// needs streams that end with their context, as gRPC's streams do. Close does not need the peer.
package bidi
