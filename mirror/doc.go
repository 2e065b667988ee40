// Package mirror reads all keys that begin with a prefix at one revision, and then every later
// change. So a program can keep a copy of the keys in another cluster.
//
//	s := mirror.NewSyncer(client, "app/", 0)
//	pages, errs := s.SyncBase(ctx)
//	for page := range pages {
//		// copy page.Kvs
//	}
//	if err := <-errs; err != nil {
//		return err
//	}
//	for resp := range s.SyncUpdates(ctx) {
//		// check resp.Err; apply resp.Events, each revision as one transaction
//	}
//
// The channel of SyncUpdates stays open when a connection is lost. If the channel ends with
// rpctypes.ErrCompacted, some changes were compacted before they could be read, and the copy lacks
// them. Then make a new Syncer, copy all pages again, and delete from the copy the keys that are in
// no page.
package mirror

// For those who change the package:
//
// SyncBase reads the first page before it returns. All other pages are read at the revision of the
// first page, and updates begin after that revision. So no extra request is needed to find a
// revision. A page that does not begin after the end of the previous page is an error. Without this
// check, a server that repeats a page would keep SyncBase reading for ever.
