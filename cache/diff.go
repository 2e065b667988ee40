package cache

// difference returns the changes that make the tree to of the tree from, in the order of keys. A
// change that a pair shows has the pair's revision, a deletion has the given one.
func difference(from, to *tree, revision int64) []change {
	var changes []change
	a, b := from.Iter(), to.Iter()
	inA, inB := a.First(), b.First()
	for inA || inB {
		switch {
		case !inB || inA && a.Key() < b.Key():
			changes = append(changes, change{Change{Key: a.Key(), Old: a.Value()}, revision})
			inA = a.Next()
		case !inA || b.Key() < a.Key():
			kv := b.Value()
			changes = append(changes, change{Change{Key: b.Key(), New: kv}, kv.ModRevision})
			inB = b.Next()
		default:
			if old, kv := a.Value(), b.Value(); !samePair(old, kv) {
				changes = append(changes,
					change{Change{Key: b.Key(), Old: old, New: kv}, kv.ModRevision})
			}
			inA, inB = a.Next(), b.Next()
		}
	}
	return changes
}
