// Package mirror reads all keys that begin with a prefix as they were at one revision,
// and then every change that comes after it: what a copy in another cluster needs.
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
package mirror

// For those who change the package:
//
// SyncBase reads the first page before it returns. The revision of that page is the one of all
// other pages, and updates begin after it. So there is no other request that could be refused, or
// answered at another revision. A page that does not advance is an error: a server that repeats
// itself would be followed for ever.
