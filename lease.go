package clientv3

// LeaseID identifies a lease of the cluster. The zero value is [NoLease].
type LeaseID int64

// NoLease is the ID of no lease: a key put with it lives until it is deleted.
const NoLease LeaseID = 0
