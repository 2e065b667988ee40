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
//	trying    failure, attempts used up             done      return the failure
//	trying    token refused                         renewing
//	trying    other failure, a retry is allowed     waiting
//	trying    other failure, no retry is allowed    done      return the failure
//	renewing  the token is so new that a member     waiting   keep the token
//	          may not know it
//	renewing  otherwise, up to three times          waiting   replace the token that was refused
//	renewing  the token cannot be replaced          done      return the error of the login, or the
//	          (again)                                         refusal if no login was answered
//	waiting   the wait is over                      trying    next attempt
//	waiting   context or client ends                done      return its error
//
// Whether a retry is allowed depends on the error and on the policy of the request's method: a read
// may be sent again even if a server has served it, a write may not. The map policies has the
// policy of each method. A Txn or Alarm request that only reads counts as a read. A LeaseGrant
// request counts as a read if no other request uses its lease id; see [Idempotent]. A login, or a
// request whose method etcd does not define, gets no new token: a refusal of its token is a failure
// like any other.
//
// # When a write is sent again
//
// A write is sent again only on proof that no server has applied it. One of these is proof:
//
//   - No connection took the attempt. If a call has the option grpc.Peer, gRPC sets the peer when
//     the call gets a connection. [ObserveSends], the interceptor next to gRPC, checks that the
//     call has that option. If an interceptor of the user removes the option, there is no proof.
//   - A learner refused the attempt.
//   - A member refused the attempt with "too many requests". Servers decide that before they
//     propose the write. After a write has had as many such refusals as there are endpoints, it is
//     not sent again.
//   - A server refused the token of the attempt.
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
//   - The first attempt costs one allocation and takes no lock: the struct attempt is the context
//     of the call, and holds the call options and the peer.
//   - The limits on message sizes are call options that a Conn adds to each call. So the calls of a
//     stub on the gRPC connection itself have the limits that are gRPC's defaults.
package retry
