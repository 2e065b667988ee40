// Package classify answers what an error means for the next attempt.
//
// The functions take an error returned by a gRPC call or stream, or an rpctypes.EtcdError made from
// such an error. They look at the status code, and compare the whole status message with etcd's
// well-known messages. They never search inside a message.
//
// Other packages ask these questions:
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
// CanRepeatWrite and IsRefusal answer different questions. A write that certainly had no effect may
// fail again for the same reason, so another attempt is not always worthwhile.
//
// An error of a server does not always prove that a write had no effect. A server that has no space
// left applies a request, and yet answers with an error.
package classify
