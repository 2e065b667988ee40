package cache

import "go.etcd.io/etcd/client/v3/cache/internal/fill"

// chunkBytes is the size of the pieces of memory that the keys and values of a page are put into.
// As long as one pair of a piece is in use, the whole piece is.
const chunkBytes = 32 << 10

// compact copies the keys and values of pairs to memory of their own. As they come from the server,
// they are parts of encoded messages, which take some 10 % more.
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
