// Package outbox delivers values into one channel, in order, for a producer that must never wait.
//
// An [Outbox] owns its channel: no other code sends on it or closes it.
//
//	state    event                        next     action
//	direct   Post, the channel has room   direct   send: one channel operation
//	direct   Post, the channel is full    pumping  keep the value; start a goroutine, the pump
//	pumping  Post                         pumping  keep the value
//	pumping  the consumer takes a value   pumping  the pump sends the next
//	pumping  all values are sent          direct   the pump exits; Drained
//	direct   Close, Abort                 closed   close the channel
//	pumping  Close                        closing  the pump sends what waits
//	closing  all values are sent          closed   the pump closes the channel and exits
//	pumping, closing: Abort               closed   the pump drops what waits, closes the channel
//
// A consumer that is idle, or keeps up, costs no goroutine.
//
// # Invariants
//
//   - The holder of the mutex may send on the channel and close it while there is no pump; the one
//     pump may otherwise. So the channel is closed exactly once and receives nothing afterwards, in
//     whatever order Post, Close and Abort are called.
//   - Values keep the order of the calls of Post.
//   - Hooks but Size are called without the mutex.
//
// The outbox sets no limit. A producer looks at the backlog that Post returns, and stops producing
// for a consumer that is too slow; [Hooks.Drained] says when to go on.
package outbox
