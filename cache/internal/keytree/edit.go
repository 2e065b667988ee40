package keytree

import "sync/atomic"

// Editor makes a tree from another by any number of changes. The tree that it began with does not
// change. An Editor must not be used concurrently.
//
// An Editor from [Tree.Edit] copies a node at its first change of the node, and then changes the
// copy. So it costs less than as many calls of the methods of Tree. The zero Editor begins with an
// empty tree, and copies a node at every change.
type Editor struct {
	tree Tree
	edit uint64 // the number of the Editor; 0 if it copies a node at every change
}

// edits is the last number that was given to an Editor.
var edits atomic.Uint64

// Edit returns an Editor that begins with the tree t.
func (t Tree) Edit() Editor { return Editor{tree: t, edit: edits.Add(1)} }

// Get returns the pair of a key, or nil if the tree does not have the key.
func (e *Editor) Get(key string) *Pair { return e.tree.Get(key) }

// Set adds the pair kv. If the tree has a pair with the same key, kv replaces that pair.
func (e *Editor) Set(kv *Pair) {
	root := e.tree.root
	if root == nil {
		e.tree = Tree{leaf([]*Pair{kv})}
		return
	}
	first, second := root.set(Key(kv.Key), kv, e.edit)
	if second == nil {
		e.tree = Tree{first}
		return
	}
	e.tree = top([]*node{first, second})
}

// Delete removes the pair of a key, if the tree has it.
func (e *Editor) Delete(key string) { e.tree = e.tree.Delete(key) }

// Tree returns the tree with all changes. The Editor must not be used afterwards, because it could
// change that tree.
func (e *Editor) Tree() Tree { return e.tree }
