// Package cache keeps a copy of a range of keys in memory. It shows the copy as one consistent
// snapshot after another, and can prove how fresh a snapshot is.
//
//	c, err := cache.New(client, "/services/")
//	defer c.Close()
//	snap, err := c.Fresh(ctx, time.Second) // contains every write acknowledged up to a second ago
//	for kv := range snap.Prefix("/services/web/") { … }
//
// # What it guarantees
//
//	how stale is a Snapshot()            it is exact at its Revision, and contains every write that
//	                                     was acknowledged before its ProvenAt
//	Fresh(ctx, d)                        contains every write acknowledged before now − d. With
//	                                     d = 0, Fresh is a linearizable read
//	AtLeast(ctx, rev)                    contains the write that returned rev
//	half a transaction                   is never seen
//	revisions                            never go back, unless the cluster was replaced or restored,
//	                                     which a Batch announces as Gap
//	an outage                            the watch goes on where it was interrupted
//	a compaction during an outage        the cache reads the range again, compares it with the copy,
//	                                     and gives consumers each difference once, deletions too
//	a slow consumer of Changes           gets the newest state of each key, and keeps one old
//	                                     snapshot in memory
//	a slow reader of Watcher()           gets every revision: from memory within the history,
//	                                     and from the server beyond it
//	a restored or another cluster        is noticed at the next linearizable read of Fresh or KV(),
//	                                     write by Update or KV(), or audit (WithAudit): the answer
//	                                     has another cluster id, or a revision below that of the
//	                                     copy. Another id is also noticed at the next response of
//	                                     the watch
//	memory                               what keys and values take, and some 150 bytes a key. Keys
//	                                     that were read together are freed together, in blocks of
//	                                     32 KiB. So a range that shrinks to a few of its keys may
//	                                     hold a block for each of them
//	a watch that is stuck                is opened again when a reader has waited for it for 20
//	                                     seconds. If that does not help, the range is read again
//	a server that cannot tell how far    the cache reads the changed keys instead, which is slower,
//	a watch has got                      but as exact
//
// # Model
//
// Everything that a reader can see at one moment is a view. A view has:
//
//   - a tree of keys, and the revision of that tree
//   - the moment until which it is proven: it contains every write acknowledged before that moment
//   - the newest entry of the log of changes
//
// Views are immutable. One pointer leads to the newest view. Readers load the pointer and take no
// lock. A reader that needs a later view waits on a channel of the view that it has. The channel is
// closed when the next view is published.
//
// One goroutine, the follower, keeps the copy up to date. It goes through these states:
//
//	opening    a watch of the whole range is created, without a start revision
//	           → filling, when the server has confirmed the watch at revision W
//	filling    the range is listed: it is read page by page, not all at one revision. A page has a
//	           revision L of its own, that of the answer. Pages are read linearizably. So a page
//	           with L < W, or with an L below the revision of an earlier page or view, shows that
//	           the cluster was restored.
//	           If the server has RangeStream (etcd 3.7), everything after the first page is
//	           requested at once, at the L of that page, and each piece of the answer is a page. If
//	           the stream breaks, because L was compacted or for another reason, another stream at
//	           a newer revision goes on from there.
//	           An event of revision r is applied to a key of a page if r > L. For a key whose page
//	           has not been read yet, the newest event is kept aside.
//	           → following, when all pages are read and the watch has delivered all events up to the
//	             greatest L
//	following  each response of the watch becomes one entry of the log and one view
//	           → opening, when the watch is cancelled because events that it has not delivered were
//	             compacted, when an audit, an Update or a stalled watch shows that the copy is
//	             wrong, or when the cluster was replaced or restored
//	ended      by Close, a denied permission, or ErrTooLarge
//
// A watch that ends for another reason is opened again, even in the middle of filling. It then
// begins after the revision up to which all events have been delivered. The same happens if the
// server does not confirm a watch, or if a watch does not bring the changes that a read has shown.
//
// While the copy opens and fills again, readers go on seeing the old view. The new state is then
// compared with the old one. The difference becomes one entry of the log, a gap.
//
// Invariants:
//
//   - The tree of a view is the state of the range at exactly its revision.
//   - Within an era, revisions and ProvenAt of views never go back. An era ends when the cluster is
//     replaced or restored, or when the copy is found to be wrong. From then on the views are
//     doubted: ProvenAt is zero, and Fresh, AtLeast and Update wait. The next era begins when the
//     range has been listed again.
//   - All events up to revision r count as delivered when the watch has delivered an event of
//     revision r or later, because a response has all events of its revisions. A notice of progress
//     at r or later also counts, if the server is known to send it only after all earlier events.
//   - Cache.prove can raise the revision of a view to a later revision R without the watch. Before
//     that, a read must have shown that the range at R equals the tree of the view. Events up to R
//     that the watch delivers later are of keys that were created and deleted in between. They go
//     to the log, and change no tree. Until they have come, the log ends before the revision of the
//     view. Reads of revisions that the log lacks then go to the server, and consumers of watches
//     get no notice of progress for these revisions.
//   - A question is one linearizable read that is sent at a time t and answered at a revision R.
//     Every write acknowledged before t has a revision of R or lower. So a view with a revision of
//     R or higher is proven until t.
//   - At most one question of a client is under way. A reader shares this question if it was sent
//     late enough for the reader. Otherwise the reader shares the next question.
//   - The log holds every change of the range from its oldest revision on, once, in order, within
//     the bytes of WithHistory. Older entries are unlinked, so that a slow reader of the log keeps
//     only one entry in memory.
package cache
