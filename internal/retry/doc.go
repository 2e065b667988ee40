// Package retry decides, for every request of the client, whether and when it is sent again.
//
// [Conn] decorates a gRPC connection. Generated stubs on a Conn retry; stubs on the gRPC connection
// itself do not. The interceptors of the user belong to the gRPC connection, so they see every
// attempt.
//
// # States of a request
//
//	state     event                                 next      action
//	new       context or client has ended           done      return its error; nothing is sent
//	new       otherwise                             trying    first attempt; it waits for a
//	                                                          connection until the context ends
//	trying    success                               done
//	trying    failure, the context has ended        done      return the context's own error
//	trying    failure, the client is closed         done      return the closing error
//	trying    token refused                         renewing
//	trying    failure, the policy allows a retry    waiting
//	trying    other failure, or attempts used up    done      return the failure
//	renewing  the token is so new that a member     waiting   ask for no other token
//	          may not know it
//	renewing  otherwise, up to three times          waiting   replace the token that was refused
//	renewing  no other token can be had             done      return the login's status, or the
//	                                                          refusal
//	waiting   the wait is over                      trying    next attempt
//	waiting   context or client ends                done      return its error
//
// The map policies has the policy of each method. A Txn or Alarm request that only reads is a read.
// A LeaseGrant request is a read if no other request uses its lease id; see [Idempotent].
//
// # When a write is sent again
//
// A write is sent again only on proof that no server has applied it. One of these is proof:
//
//   - No connection took the attempt. If a call has the option grpc.Peer, gRPC sets the peer when
//     the call gets a connection. [ObserveSends], the interceptor next to gRPC, checks that the
//     call has that option. If an interceptor of the user withholds it, there is no proof.
//   - A learner refused it.
//   - A member refused it with "too many requests". Servers decide that before they propose the
//     write. The write is then sent at most once to each other member.
//   - Its token was refused.
//
// Canceled and DeadlineExceeded from a server prove nothing. No decision depends on a part of an
// error's message.
//
// # Streams
//
// A read whose answer is a stream is sent again like a unary read until its first message has
// arrived, and never after that. Other streams are opened once; their owners open them again.
//
// # Invariants
//
//   - A request never outlives its context or the client.
//   - The first attempt costs one allocation and takes no lock: the attempt is its own context and
//     holds the call options and the peer.
//   - Limits on messages are options of each call, so a stub on the bare connection has gRPC's own.
package retry
