// Package classify answers what an error means for the next attempt.
//
// The predicates take an error returned by a gRPC call or stream, or an rpctypes.EtcdError made
// from such an error. They look at the status code, and compare the whole status message with
// etcd's well-known messages; they never search inside a message.
//
// The predicates answer these questions of other packages:
//
//	question                                           asked by                 answer
//	may a request without effects be sent again        internal/retry           [CanRepeatRead]
//	may a request with effects be sent again           internal/retry           [CanRepeatWrite]
//	may another token turn the refusal into success    internal/retry, streams  [IsAuthRefresh]
//	has a write certainly had no effect                concurrency, leasing     [IsRefusal]
//	would another attempt get the same answer          concurrency, recipes     [IsHalt]
//	must a stream of watches or renewals stay closed   watches, keepalives      [IsFinal]
//	did the server end a stream because of an option   watches                  [IsOptionRefusal]
//
// CanRepeatWrite and IsRefusal answer different questions. A request that certainly had no effect
// is not always worth another attempt, because it may fail again for the same reason. Not every
// error of a server proves that a write had no effect: a server that has no space left applies a
// request and answers with an error.
package classify
