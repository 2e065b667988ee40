package etcdfake

import clientv3 "go.etcd.io/etcd/client/v3"

// Compact compacts the keyspace at a revision. It fails the test if the revision is compacted
// already, or if it is above the revision of the newest write.
func (c *Cluster) Compact(rev int64) {
	c.tb.Helper()
	if err := c.store.Compact(rev); err != nil {
		c.tb.Errorf("etcdfake: Compact(%d) at revision %d: %v", rev, c.Revision(), err)
	}
}

// Revoke revokes a lease and deletes its keys, as the expiry of the lease does. It fails the test
// if there is no such lease.
func (c *Cluster) Revoke(id clientv3.LeaseID) {
	c.tb.Helper()
	if !c.store.Revoke(int64(id)) {
		c.tb.Errorf("etcdfake: Revoke(%x): there is no such lease", int64(id))
	}
}

// ExpireTokens invalidates all authentication tokens that the cluster has issued so far.
func (c *Cluster) ExpireTokens() { c.store.ExpireTokens() }
