// Package etcdtest starts real etcd servers for tests and examples: processes of the pinned etcd binary on loopback ports.
//
//	func TestPut(t *testing.T) {
//		cluster := etcdtest.Start(t, etcdtest.WithMembers(3))
//		kv := pb.NewKVClient(cluster.Pb(t))
//		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
//		require.NoError(t, err)
//
//		cluster.Leader().Kill()
//		…
//	}
package etcdtest
