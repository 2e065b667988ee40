// Package keytree is an immutable ordered map from keys to pairs. A change returns another tree,
// which shares with the first one every node that is not on the way to what has changed. So any
// number of goroutines can read a tree, and make other trees of it, without a lock.
//
// It is a B+ tree: leaves have pairs, inner nodes have children. Each node has, for each of its
// entries, the entry's head: the 8 bytes of the key that follow what all keys of the node begin
// with, as a number. The heads of a node lie next to each other, so a search in a node reads little
// memory. It reads a key only if two heads are equal. Each inner node has the running totals of the
// pairs below its children, so counting a range takes two searches. The pairs of a leaf lie next to
// each other, so a list copies them leaf by leaf.
//
// Invariants of a node:
//
//   - It has from 1 to most entries, in the order of their keys. The keys of a leaf are those of
//     its pairs. The keys of an inner node are the lows of its children: a child's low is not
//     greater than any key below that child, and greater than every key below the child before it.
//   - All keys in the node and below it, and its lows, begin with the same bytes, skip of them or
//     more.
//   - heads[i] is head(key of entry i, skip). Of two keys with different heads, the one with the
//     lower head is lower. Keys with equal heads have to be compared.
//   - All leaves are equally far from the root.
//   - A node is not written to after the function that made it has returned it, and neither is what
//     it refers to.
package keytree
