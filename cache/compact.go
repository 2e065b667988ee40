package cache

import "go.etcd.io/etcd/client/v3/cache/internal/fill"

// chunkBytes is the size of one block of memory that holds the keys and values of many pairs. A
// block is freed only when none of its pairs is in use any more.
const chunkBytes = 32 << 10

// compact copies the keys and values of pairs to new blocks of memory. A key or value that comes
// from the server is a slice of a response message, and would keep the whole message in memory. The
// messages would take about 10 % more memory than the copies.
func compact(kvs []*pair) {
	left := 0
	for _, kv := range kvs {
		left += int(fill.Bytes(kv))
	}
	var chunk []byte
	for _, kv := range kvs {
		size := int(fill.Bytes(kv))
		if len(chunk)+size > cap(chunk) {
			chunk = make([]byte, 0, max(size, min(left, chunkBytes)))
		}
		left -= size
		at := len(chunk)
		chunk = append(append(chunk, kv.Key...), kv.Value...)
		split := at + len(kv.Key)
		kv.Key = chunk[at:split:split]
		if len(kv.Value) > 0 {
			kv.Value = chunk[split:len(chunk):len(chunk)]
		}
	}
}
