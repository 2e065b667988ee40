// Package mirror reads all keys that begin with a prefix as they are at one revision, and then
// every later change. A copy in another cluster can be made of that.
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
// SyncUpdates outlives lost connections. If it ends with rpctypes.ErrCompacted, changes are missing
// from the copy: make a new Syncer, copy all pages again, and delete what they lack from the copy.
package mirror

// For those who change the package:
//
// SyncBase reads the first page before it returns. All other pages are read at the revision of that
// page, and updates begin after it. So no request is needed just to find a revision. A page that
// does not advance is an error: otherwise a server that repeats a page would keep SyncBase reading
// for ever.
