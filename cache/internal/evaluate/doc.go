// Package evaluate answers requests of the KV service from a tree of keys, as a server of etcd
// answers them: counts, limits, the order of keys that compare equal, revision bounds and headers
// included. It has no state of its own.
//
// An answer has copies of the tree's pairs, because programs change answers: a KV that shows a
// prefix as a namespace cuts the keys in place. The keys and values themselves are shared.
package evaluate
