// Package clientv3 is a client for the etcd v3 key-value store.
//
//	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{"127.0.0.1:2379"}})
//	if err != nil {
//		// the configuration is bad, or a login or version check failed
//	}
//	defer cli.Close()
//
//	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
//	defer cancel()
//	resp, err := cli.Put(ctx, "key", "value")
//
// # Client
//
// A [Client] owns one gRPC connection that spreads requests over the endpoints
// in turn. It is meant to be shared and long-lived: it may be used from any
// number of goroutines, and so may everything that it embeds. New begins to
// connect but does not wait for a connection: calls do, as long as their
// contexts allow. Give every call a context with a deadline; without
// one, a call to a cluster that is down waits until it is back.
//
// # Closing
//
// Whoever makes a client closes it. [Client.Close] ends calls under way, streams
// and channels, and returns once all of the client's goroutines have ended. Calls
// after that fail at once, with an error for which [IsConnCanceled] is true.
//
// # Errors
//
// A call returns one of:
//
//   - the error of its context, where that has ended: context.Canceled or
//     context.DeadlineExceeded, never wrapped;
//   - an rpctypes.EtcdError, for what etcd's servers refuse. These compare with
//     == and errors.Is to the variables of package
//     go.etcd.io/etcd/api/v3/v3rpc/rpctypes, such as rpctypes.ErrCompacted;
//   - an error variable or type that the call's documentation names;
//   - a gRPC status, for everything else: codes.Unavailable where the
//     connection was lost, codes.ResourceExhausted for a message beyond the
//     limits of the Config.
//
// So a program can switch on the error:
//
//	resp, err := cli.Put(ctx, "", "")
//	switch err {
//	case nil:
//	case context.Canceled: // ctx was cancelled by another goroutine
//	case context.DeadlineExceeded: // ctx's deadline passed
//		log.Print(cli.ConnectionError()) // nil, or why no member can be reached
//	case rpctypes.ErrEmptyKey: // the server has refused the request
//	default: // a gRPC status, or the client is closed
//	}
//
// A call that waits for a connection ends with its context's error, too. Why no
// member can be reached (refused, a bad certificate, no such host) is what
// [Client.ConnectionError] returns, and while none can be reached the log has it
// as a warning once a minute.
//
// # Retries
//
// Requests are repeated by what they do, not by how they fail alone:
//
//	request                         repeated when
//	reads: Get, GetStream until     the member is unavailable (no connection, no
//	its first result, transactions  or another leader, a timeout in the cluster),
//	that only get, lists, status    has too many requests, or is a learner and
//	                                there are other endpoints
//	writes: Put, Delete, Txn,       it surely was not applied: no connection took
//	Compact, Grant, Revoke, and     it, a learner refused it, or a member that has
//	all that changes the cluster    too many requests: then once for each other one
//	any with a token                the token was refused and a new one can be had
//	watches, keepalives             their streams are reopened; see Watcher, Lease
//
// A write whose connection broke under way returns an error with
// codes.Unavailable: it may or may not have been applied. To repeat it safely,
// guard it by a transaction on the key's revision.
//
// Attempts follow at once on as many members as there are endpoints, and then
// after waits that double and are jittered (Config.BackoffWaitBetween), at most
// Config.MaxUnaryRetries in all, and never beyond the context.
//
// # Logging
//
// The client logs to Config.Logger. A request that succeeds at once logs nothing;
// repeated requests are reported at debug level, once a second at most.
package clientv3
