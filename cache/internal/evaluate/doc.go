// Package evaluate answers requests of the KV service from a tree of keys. It answers as an etcd
// server does, including counts, limits, revision bounds, and the order of keys that compare equal.
// The package has no state of its own.
//
// An answer has copies of the tree's key-value pairs, because programs change the pairs of an
// answer. For example, a KV with a namespace cuts the prefix off each key in place. The bytes of
// keys and values are not copied.
package evaluate
