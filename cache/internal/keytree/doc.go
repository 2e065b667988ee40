// Package keytree is an immutable ordered map from keys to key-value pairs. A change returns
// another tree. The two trees share all nodes except those from the root to the changed pair. So
// any number of goroutines can read a tree, and make other trees from it, without a lock. An Editor
// makes many changes and returns one tree, which costs half as much as a tree for each change.
//
// The map is a B+ tree: leaves have pairs, inner nodes have children.
//
//   - Each node has the prefix that all its keys begin with, and a head for each entry. A head is a
//     number made of the first 7 bytes after the prefix, and of how many bytes follow the prefix.
//   - The heads of a node lie next to each other in memory, so a search reads little memory. It
//     reads a key only if two heads are equal and more than 7 bytes follow the prefix.
//   - Each inner node has the running totals of the pairs below its children. So two searches count
//     the keys of a range.
//   - The pairs of a leaf lie next to each other, so a range is copied leaf by leaf.
//
// Invariants of a node:
//
//   - It has from 1 to 61 entries (the constant most), in the order of their keys. The keys of a
//     leaf are those of its pairs. The keys of an inner node are the lows of its children. A
//     child's low is a lower bound of the keys below that child, and greater than every key below
//     the child before it.
//   - All keys in the node and below it, and its lows, begin with the node's prefix.
//   - heads[i] is head(key of entry i, length of the prefix). Of two keys with different heads, the
//     one with the lower head is lower. Keys with equal heads are equal if the head has all bytes
//     of the key after the prefix. Otherwise the keys have to be compared.
//   - All leaves are equally far from the root.
//   - After a function has returned a Tree, nothing writes to the nodes of this tree, or to what
//     they refer to. An Editor writes only to nodes that it has made itself, and only until its
//     method Tree is called.
package keytree
