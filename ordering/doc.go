// Package ordering decorates a KV so that its reads never go back in time.
//
// A linearizable read never does. A serializable one, which any member answers from its
// own data, may: the next read may reach a member that is behind. The KV of this
// package remembers the greatest revision of its responses, and does not return the
// response to a read whose revision is lower: an [OrderViolationFunc] is asked what to
// do, and the read is repeated unless that returns an error.
//
//	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
//	resp, err := kv.Get(ctx, key, clientv3.WithSerializable())
package ordering
