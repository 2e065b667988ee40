// Package cache keeps a copy of a range of keys in memory, as one consistent snapshot after
// another, whose freshness is proven.
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
//	Fresh(ctx, d)                        contains every write acknowledged before now − d; d = 0 is
//	                                     a linearizable read
//	AtLeast(ctx, rev)                    contains the write that returned rev
//	half a transaction                   is never seen; revisions never go back, unless the cluster
//	                                     was replaced or restored, which a Batch announces as Gap
//	a compaction, an outage              the copy is compared with a new list, and consumers get
//	                                     what changed, deletions included, once
//	a slow consumer of Changes           gets the newest state of each key; it holds one snapshot
//	a slow reader of Watcher()           gets every revision; within the history from memory,
//	                                     beyond it from the server
//	a restored or another cluster        is found by the next question of Fresh, Update, write by
//	                                     KV(), or audit (WithAudit): by the cluster's id or, if that
//	                                     is the old one, by an answer below the copy's revision.
//	                                     With another id, also by the next event or list
//	memory                               what keys and values take, and some 150 bytes a key
//	a server that cannot prove progress  is asked for the state itself: slower, and as exact
//
// # Model
//
// Everything that a reader can see at one moment is a view: a tree of keys, the revision of that
// tree, the moment until which it is proven, and the newest entry of the log of changes. Views are
// immutable. One pointer leads to the newest one; readers load it and take no lock. A reader that
// needs a later view waits on the channel of the one it has, which is closed when the next one is
// published.
//
// One goroutine, the follower, keeps the copy up to date. It goes through these states:
//
//	opening    a watch of the whole range is created, from now on
//	           → filling, when the server has confirmed it at revision W
//	filling    pages of the range are read, none pinned to a revision. A page has its own revision L,
//	           which is that of its answer. Pages are linearizable: one with L < W, or below a page
//	           or a view of before, shows that the cluster was restored. Where the server has
//	           RangeStream (etcd 3.7), all that is behind the first page is asked for at once at
//	           that page's L, and each piece of the answer is a page. If the stream breaks, because L
//	           was compacted or for another reason, a newer one goes on from there.
//	           An event of revision r counts for a key of a page if r > L. For a key of a page that
//	           is still to come, the newest event is kept aside.
//	           → following, when all pages are read and the watch has passed the greatest L
//	following  each response of the watch becomes one entry of the log and one view
//	           → opening, when the watch is cancelled because its start was compacted, when an audit
//	             finds a difference, or when the cluster is another one or went back in time
//	ended      by Close, a refusal, or ErrTooLarge
//
// A watch that ends for another reason is opened again after the revision that it has passed, also
// in the middle of filling. While the copy opens and fills again, the view of before stays. The new
// state is compared with it, and the difference is one entry of the log, a gap.
//
// Invariants:
//
//   - The tree of a view is the state of the range at exactly its revision.
//   - Within an era, revisions and ProvenAt of views never go back. An era ends when the cluster is
//     replaced or restored, or when the copy is found to be wrong. Until the list that begins the
//     next one is there, no view is proven: Fresh waits.
//   - The watch has passed revision r when it delivered an event of revision r or later, which
//     comes with all events of its revision, or a notice of progress at r or later from a server
//     that is known to send them in order.
//   - A proof moves a view on without the watch: a read at revision R has shown that the range is
//     at R as in the view. Events up to R that come later are of keys that came and went. They go
//     to the log, and change no tree. Until they have come, the log ends before the view: reads of
//     the revisions between go to the server, and notices of progress wait.
//   - A question is one linearizable read that is sent at t and answered at revision R. Every write
//     acknowledged before t has a revision of R or lower. A view with a revision of R or higher is
//     proven until t.
//   - At most one question of a client is under way. A reader shares the next one, or the one under
//     way if it was sent late enough for what the reader asks.
//   - The log holds every change of the range from its oldest revision on, once, in order, within
//     the bytes of WithHistory. What is older is unlinked, so that a slow reader holds one entry.
package cache
