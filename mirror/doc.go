// Package mirror reads all keys that begin with a prefix at one revision, and then every later
// change. From these, a program can make a copy in another cluster.
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
// SyncUpdates goes on when a connection is lost. If it ends with rpctypes.ErrCompacted, the copy
// lacks some changes. Then make a new Syncer, copy all pages again, and delete the keys from the
// copy that are in no page.
package mirror

// For those who change the package:
//
// SyncBase reads the first page before it returns. All other pages are read at the revision of the
// first page, and updates begin after it. So no request is needed just to find a revision. A page
// whose keys are not after those of the last page is an error: otherwise a server that repeats a
// page would keep SyncBase reading for ever.
