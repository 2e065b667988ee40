// Package outbox delivers values into a channel, in order, for a producer that must never wait.
//
// An [Outbox] owns its channel: no other code sends on the channel or closes it.
//
//	state    event                        next     action
//	direct   Post, the channel has room   direct   send: one channel operation
//	direct   Post, the channel is full    pumping  queue the value; start a goroutine, the pump
//	pumping  Post                         pumping  queue the value
//	pumping  the consumer takes a value   pumping  the pump sends the next value
//	pumping  all values are sent          direct   call Hooks.Drained; the pump exits
//	direct   Close or Abort               closed   close the channel
//	pumping  Close                        closing  the pump sends the queued values
//	closing  all values are sent          closed   the pump closes the channel and exits
//	pumping  Abort or Pumps.Close         closed   drop the queue; the pump closes the channel
//	closing  Abort or Pumps.Close         closed   drop the queue; the pump closes the channel
//
// An outbox has a goroutine only while values are queued. As long as the channel has room for each
// posted value, there is none.
//
// # Invariants
//
//   - While there is no pump, only the holder of the mutex sends on the channel and closes it.
//     While there is a pump, only the pump sends and closes. So the channel is closed exactly once,
//     and no value is sent after that, in whatever order Post, Close and Abort are called.
//   - Values are delivered in the order of the calls of Post.
//   - Hooks other than Size are called without the mutex.
//
// The outbox does not limit its backlog. Post returns the size of the backlog, so that a producer
// can stop for a consumer that is too slow. [Hooks.Drained] tells the producer when to go on.
package outbox
