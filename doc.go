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
// A [Client] owns one gRPC connection that spreads requests over the endpoints. A Client is meant
// to be shared and to live as long as the program. A Client and everything that it embeds may be
// used from any number of goroutines. New starts to connect and returns before there is a
// connection. A call waits for a connection until the call's context ends. Give every call a
// context with a deadline: a call without a deadline waits for as long as the cluster is down.
//
// # Closing
//
// The program that makes a client must close it. [Client.Close] ends the calls under way, ends
// streams, closes channels, and returns when all of the client's goroutines have ended. Later calls
// fail at once, with an error for which [IsConnCanceled] is true.
//
// # Errors
//
// A call returns one of:
//
//   - the error of its context, if the context has ended: context.Canceled or
//     context.DeadlineExceeded, never wrapped;
//   - an rpctypes.EtcdError, if an etcd server refuses the request. The error is equal, with == and
//     with errors.Is, to a variable of package go.etcd.io/etcd/api/v3/v3rpc/rpctypes, such as
//     rpctypes.ErrCompacted;
//   - an error variable or type that the call's documentation names;
//   - a gRPC status otherwise: codes.Unavailable if the connection was lost,
//     codes.ResourceExhausted for a message over the limits of the Config.
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
// A call that waits for a connection also ends with its context's error. [Client.ConnectionError]
// then returns why no member can be reached (connection refused, a bad certificate, no such host).
// While no member can be reached, a warning with the reason is logged once a minute.
//
// # Retries
//
// Whether a failed request is sent again depends on what the request does and on how it failed:
//
//	request                         is sent again if
//	reads: Get, GetStream until     the member is unavailable (no connection, no
//	its first result, transactions  leader, a change of leader, a timeout in the
//	that only get, lists, status;   cluster), has too many requests, or is a
//	Grant, whose lease id is        learner and there are other endpoints
//	unique
//	writes: Put, Delete, Txn,       it was certainly not applied: there was no
//	Compact, Revoke, and all else   connection to send it on, or a learner or a
//	that changes the cluster        member with too many requests refused it; it
//	                                is then sent at most once to each other member
//	any request with a token        the token was refused and has been renewed
//	watches, keepalives             their streams are opened again; see Watcher
//	                                and Lease
//
// A write returns an error with codes.Unavailable if its connection broke. In that case the write
// may or may not have been applied. To repeat such a write safely, put it into a transaction that
// compares the key's revision.
//
// The first attempts of a request, one for each endpoint, are made without a wait. Before each
// later attempt the client waits; the waits double and are jittered (Config.BackoffWaitBetween). A
// request is sent at most Config.MaxUnaryRetries times, and not again after its context has ended.
//
// # Logging
//
// The client logs to Config.Logger. A request that succeeds at the first attempt logs nothing.
// Retries are logged at debug level, with at most one entry a second.
package clientv3
