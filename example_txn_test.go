package clientv3_test

import (
	"context"
	"fmt"
	"log"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Conditions can ask for the value, the number of changes, the revisions and the lease of a key. A
// key that does not exist has version, revisions and lease 0.
func ExampleCompare() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	put, err := cli.Put(ctx, "compare/a", "green")
	if err != nil {
		log.Fatal(err)
	}
	for _, condition := range []clientv3.Cmp{
		clientv3.Compare(clientv3.Value("compare/a"), "=", "green"),
		clientv3.Compare(clientv3.Version("compare/a"), "=", 1),
		clientv3.Compare(clientv3.ModRevision("compare/a"), "<", put.Header.Revision),
		clientv3.Compare(clientv3.LeaseValue("compare/a"), "!=", clientv3.NoLease),
		clientv3.Compare(clientv3.CreateRevision("compare/none"), "=", 0),
	} {
		resp, err := cli.Txn(ctx).If(condition).Commit()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.Succeeded)
	}
	// Output:
	// true
	// true
	// false
	// false
	// true
}

// A condition for a prefix, or a range, must hold for each of its keys.
func ExampleCmp_WithPrefix() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	before, err := cli.Put(ctx, "quiet/a", "value")
	if err != nil {
		log.Fatal(err)
	}
	unchanged := clientv3.Compare(clientv3.ModRevision("quiet/"), "<", before.Header.Revision+1)
	for _, condition := range []clientv3.Cmp{
		unchanged.WithPrefix(), unchanged.WithRange("quiet/m"),
	} {
		resp, err := cli.Txn(ctx).If(condition).Then(clientv3.OpPut("quiet/z", "value")).Commit()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(resp.Succeeded)
	}
	resp, err := cli.Txn(ctx).If(unchanged.WithPrefix()).Commit()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Succeeded)
	// Output:
	// true
	// true
	// false
}

// A transaction can contain another one. The transaction here moves a value to another key, and
// counts the move only if there is a counter.
func ExampleOpTxn() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	if _, err := cli.Put(ctx, "nest/from", "value"); err != nil {
		log.Fatal(err)
	}
	resp, err := cli.Txn(ctx).
		If(clientv3.Compare(clientv3.Version("nest/from"), ">", 0)).
		Then(
			clientv3.OpDelete("nest/from", clientv3.WithPrevKV()),
			clientv3.OpPut("nest/to", "value"),
			clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.Version("nest/counter"), ">", 0)},
				[]clientv3.Op{clientv3.OpPut("nest/counter", "1")},
				[]clientv3.Op{clientv3.OpGet("nest/counter")},
			)).
		Commit()
	if err != nil {
		log.Fatal(err)
	}
	deleted := resp.Responses[0].GetResponseDeleteRange()
	fmt.Printf("moved %s\n", deleted.PrevKvs[0].Value)
	counted := resp.Responses[2].GetResponseTxn()
	fmt.Println("counted:", counted.Succeeded)
	// Output:
	// moved value
	// counted: false
}

// Code that wraps a KV can read the options of an operation from its Op.
func ExampleOp() {
	op := clientv3.OpGet("k", clientv3.WithPrefix(), clientv3.WithLimit(10), clientv3.WithRev(7),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithKeysOnly())
	fmt.Printf("get: %t, of %q to %q\n", op.IsGet(), op.KeyBytes(), op.RangeBytes())
	fmt.Println("at most", op.Limit(), "at revision", op.Rev())
	fmt.Println("sorted:", op.IsSortSet(), op.IsSortOptionValid())
	fmt.Println("keys only:", op.IsKeysOnly(), "serializable:", op.IsSerializable())

	op.WithKeyBytes([]byte("prefix/k"))
	op.WithRangeBytes([]byte("prefix/l"))
	fmt.Printf("%q to %q\n", op.KeyBytes(), op.RangeBytes())
	// Output:
	// get: true, of "k" to "l"
	// at most 10 at revision 7
	// sorted: true true
	// keys only: true serializable: false
	// "prefix/k" to "prefix/l"
}

// Op.Txn returns the conditions and the operations of a transaction.
func ExampleOp_Txn() {
	txn := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value("a"), "=", "1")},
		[]clientv3.Op{clientv3.OpPut("a", "2")},
		[]clientv3.Op{clientv3.OpDelete("a", clientv3.WithPrevKV())})
	cmps, thens, elses := txn.Txn()
	fmt.Printf("if %s is %s\n", cmps[0].KeyBytes(), cmps[0].ValueBytes())
	fmt.Printf("put %s: %t\n", thens[0].ValueBytes(), thens[0].IsPut())
	fmt.Println("delete:", elses[0].IsDelete(), "with the value:", elses[0].IsPrevKV())
	// Output:
	// if a is 1
	// put 2: true
	// delete: true with the value: true
}

// Code that wraps a KV can apply options to an empty operation, and then read what they set.
func ExampleNewOp() {
	opts := []clientv3.OpOption{clientv3.WithCountOnly(), clientv3.WithMinModRev(7)}
	op := clientv3.NewOp()
	for _, opt := range opts {
		opt(op)
	}
	fmt.Println(op.IsCountOnly(), op.MinModRev(), op.MaxModRev())
	fmt.Println(op.MinCreateRev(), op.MaxCreateRev())
	fmt.Println(clientv3.IsOptsWithPrefix(opts), clientv3.IsOptsWithFromKey(opts))
	// Output:
	// true 7 0
	// 0 0
	// false false
}

// Code that wraps a Watcher can read the options of a watch from its Op.
func ExampleOpWatch() {
	op := clientv3.OpWatch("k", clientv3.WithFromKey(), clientv3.WithFilterPut(),
		clientv3.WithFragment(), clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
	fmt.Println("all after k:", op.IsOptsWithFromKey(), op.IsOptsWithPrefix())
	fmt.Println("deletes only:", op.IsFilterPut(), op.IsFilterDelete())
	fmt.Println(op.IsFragment(), op.IsCreatedNotify(), op.IsProgressNotify())
	// Output:
	// all after k: true false
	// deletes only: true false
	// true true true
}

// Clone makes a Cmp that can be changed without changing the original. FromCompare makes a Cmp from
// the protobuf message that another Cmp is sent as.
func ExampleCmp_Clone() {
	condition := clientv3.Compare(clientv3.Value("k"), "=", "v")
	prefixed := condition.Clone()
	prefixed.WithKeyBytes([]byte("prefix/k"))
	prefixed.WithValueBytes([]byte("w"))
	fmt.Printf("%s, %s\n", condition.KeyBytes(), prefixed.KeyBytes())

	message := prefixed.GetCompare()
	again := clientv3.FromCompare(&pb.Compare{Key: message.Key, Target: message.Target,
		TargetUnion: message.TargetUnion})
	fmt.Printf("%s\n", again.ValueBytes())
	// Output:
	// k, prefix/k
	// w
}

// With WithCompactPhysical, Compact returns only when the space is free for new data.
func ExampleCompactOp() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	last, err := cli.Put(ctx, "compactop", "value")
	if err != nil {
		log.Fatal(err)
	}
	_, err = cli.Compact(ctx, last.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("compacted")
	// Output: compacted
}
