// Package ordering decorates a KV so that its reads never go back in time.
//
// Linearizable reads never do. Serializable ones can: any member answers them from its own data,
// and the next read may reach a member that has not caught up. The KV of this package remembers the
// greatest revision of its responses. If the response to a read has a lower revision, the KV does
// not return it: it calls an [OrderViolationFunc], and repeats the read unless that returns an
// error.
//
//	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
//	resp, err := kv.Get(ctx, key, clientv3.WithSerializable())
package ordering

// For those who change the package:
//
// The revision of a response must not be lower than the greatest one that had been returned when
// the request was sent. So requests that overlap do not wait for each other.
//
// Violations are counted for each request, so that requests do not count for each other and a
// success ends the count. OrderViolationFunc has no parameter for the count: it travels in the
// value of the Op, which reads do not use.
