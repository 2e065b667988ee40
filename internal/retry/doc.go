// Package retry decides, for every request of the client, whether and when it is sent again.
//
// [Conn] decorates a gRPC connection. Generated stubs made on it retry; stubs made on the
// connection itself do not. The interceptors of the user run below it and see every attempt.
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
// The policies of all methods stand in one table, policies. A Txn or Alarm request is a read if it
// only reads; LeaseGrant is a read if its sender chose the id, see [Idempotent].
//
// # When a write is sent again
//
// A write is sent again only on proof that no server has applied it. One of these is proof:
//
//   - No connection took the attempt. gRPC names the peer of each call that got a connection, if
//     the call has the option grpc.Peer. An interceptor next to gRPC checks that the call has that
//     option: if an interceptor of the user withholds it, there is no proof.
//   - A learner refused it.
//   - A member refused it with "too many requests", which servers decide before they propose
//     anything. The write is then sent at most once to each other member.
//   - Its token was refused.
//
// Canceled and DeadlineExceeded from a server prove nothing. No decision searches inside a message.
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
