package clientv3_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// This program adds a user who may read and write the keys that begin with "app/".
func ExampleAuth() {
	endpoints, stop := exampleServer() // not the shared one: authentication affects all its clients
	defer stop()
	ctx := context.TODO()
	admin, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		log.Fatal(err)
	}
	defer admin.Close()

	readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
	for _, step := range []func() error{
		func() error { _, err := admin.RoleAdd(ctx, "app"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "app", "app/",
				clientv3.GetPrefixRangeEnd("app/"), readWrite)
			return err
		},
		func() error { _, err := admin.UserAdd(ctx, "alice", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "alice", "app"); return err },
		func() error { _, err := admin.UserAdd(ctx, "root", "very secret"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}

	alice, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Username: "alice",
		Password: "secret"})
	if err != nil {
		log.Fatal(err)
	}
	defer alice.Close()
	_, err = alice.Put(ctx, "app/colour", "green")
	fmt.Println("own key:", err)
	_, err = alice.Put(ctx, "other", "green")
	fmt.Println("another's:", err == rpctypes.ErrPermissionDenied)
	// Output:
	// own key: <nil>
	// another's: true
}

func ExampleCluster_memberList() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	resp, err := cli.MemberList(context.TODO())
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range resp.Members {
		fmt.Println(m.Name, "learner:", m.IsLearner)
	}
	// Output: m0 learner: false
}

func ExampleMaintenance_status() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	for _, endpoint := range cli.Endpoints() {
		resp, err := cli.Status(context.TODO(), endpoint)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("leads:", resp.Leader == resp.Header.MemberId, "alarms:", resp.Errors)
	}
	// Output: leads: true alarms: []
}

// A snapshot ends with 32 bytes of checksum; package snapshot saves one to a file and verifies it.
func ExampleMaintenance_snapshotWithVersion() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	resp, err := cli.SnapshotWithVersion(context.TODO())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Snapshot.Close()
	size, err := io.Copy(io.Discard, resp.Snapshot)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(size%512, "bytes more than whole sectors")
	// Output: 32 bytes more than whole sectors
}

// Users have roles, and roles have permissions. Users without a password are known by the common
// names of their certificates.
func ExampleAuth_userAdd() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	for _, step := range []func() error{
		func() error { _, err := cli.RoleAdd(ctx, "reader"); return err },
		func() error {
			read, err := clientv3.StrToPermissionType("read")
			if err != nil {
				return err
			}
			_, err = cli.RoleGrantPermission(ctx, "reader", "public", "", read)
			return err
		},
		func() error { _, err := cli.UserAdd(ctx, "bob", "secret"); return err },
		func() error { _, err := cli.UserChangePassword(ctx, "bob", "more secret"); return err },
		func() error {
			byCertificate := &clientv3.UserAddOptions{NoPassword: true}
			_, err := cli.UserAddWithOptions(ctx, "carol", "", byCertificate)
			return err
		},
		func() error { _, err := cli.UserGrantRole(ctx, "bob", "reader"); return err },
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	users, err := cli.UserList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	bob, err := cli.UserGet(ctx, "bob")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(users.Users, bob.Roles)
	roles, err := cli.RoleList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	reader, err := cli.RoleGet(ctx, "reader")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s %s\n", roles.Roles, reader.Perm[0].PermType, reader.Perm[0].Key)
	// Output:
	// [bob carol] [reader]
	// [reader]: READ public
}

// This program takes a role from a user and a permission from the role, and then deletes the role
// and the user.
func ExampleAuth_userDelete() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	_, err = cli.RoleAdd(ctx, "guest")
	if err != nil {
		log.Fatal(err)
	}
	read := clientv3.PermissionType(clientv3.PermRead)
	for _, step := range []func() error{
		func() error {
			_, err := cli.RoleGrantPermission(ctx, "guest", "a", "z", read)
			return err
		},
		func() error { _, err := cli.UserAdd(ctx, "dave", "secret"); return err },
		func() error { _, err := cli.UserGrantRole(ctx, "dave", "guest"); return err },
		func() error { _, err := cli.UserRevokeRole(ctx, "dave", "guest"); return err },
		func() error { _, err := cli.RoleRevokePermission(ctx, "guest", "a", "z"); return err },
		func() error { _, err := cli.RoleDelete(ctx, "guest"); return err },
		func() error { _, err := cli.UserDelete(ctx, "dave"); return err },
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	_, err = cli.UserGet(ctx, "dave")
	fmt.Println(err == rpctypes.ErrUserNotFound)
	// Output: true
}

// A client with a user logs in by itself. Authenticate is for programs that pass the token on to
// another program.
func ExampleAuth_authenticate() {
	endpoints, stop := exampleServer()
	defer stop()
	ctx := context.TODO()
	admin, err := clientv3.New(clientv3.Config{Endpoints: endpoints})
	if err != nil {
		log.Fatal(err)
	}
	defer admin.Close()
	for _, step := range []func() error{
		func() error { _, err := admin.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := admin.RoleAdd(ctx, "root"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	login, err := admin.Authenticate(ctx, "root", "secret")
	if err != nil {
		log.Fatal(err)
	}
	root, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Token: login.Token})
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	if _, err := root.AuthDisable(ctx); err != nil {
		log.Fatal(err)
	}
	state, err := root.AuthStatus(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("enabled:", state.Enabled)
	// Output: enabled: false
}

// A new member begins as a learner, which has no vote, and is promoted when it has caught up.
func ExampleCluster_memberAddAsLearner() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	added, err := cli.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1"})
	if err != nil {
		log.Fatal(err)
	}
	id := added.Member.ID
	if _, err := cli.MemberUpdate(ctx, id, []string{"http://127.0.0.1:2"}); err != nil {
		log.Fatal(err)
	}
	_, err = cli.MemberPromote(ctx, id) // its server has not even started
	fmt.Println("not ready:", err == rpctypes.ErrMemberLearnerNotReady)
	removed, err := cli.MemberRemove(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("members left:", len(removed.Members))
	// Output:
	// not ready: true
	// members left: 1
}

// Defragment one member at a time: a member answers no requests during its defragmentation. Members
// whose hashes at a revision differ have different data.
func ExampleMaintenance_defragment() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	status, err := cli.Status(ctx, cli.Endpoints()[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, endpoint := range cli.Endpoints() {
		if _, err := cli.Defragment(ctx, endpoint); err != nil {
			log.Fatal(err)
		}
		resp, err := cli.HashKV(ctx, endpoint, status.Header.Revision)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("hashed:", resp.HashRevision == status.Header.Revision)
	}
	// Output: hashed: true
}

// A member without space raises an alarm. The cluster then accepts no writes until a program
// disarms the alarm.
func ExampleMaintenance_alarmList() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	raised, err := cli.AlarmList(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, alarm := range raised.Alarms {
		log.Printf("member %x has %s", alarm.MemberID, alarm.Alarm)
	}
	disarmed, err := cli.AlarmDisarm(ctx, &clientv3.AlarmMember{}) // disarms all alarms
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(raised.Alarms), len(disarmed.Alarms))
	// Output: 0 0
}

// Leadership is moved away from a member before it is stopped, and a downgrade is validated before
// it is begun.
func ExampleMaintenance_moveLeader() {
	cli, err := clientv3.New(clientv3.Config{Endpoints: exampleEndpoints()})
	if err != nil {
		log.Fatal(err)
	}
	defer cli.Close()

	ctx := context.TODO()
	_, err = cli.MoveLeader(ctx, 1)
	fmt.Println("no such member:", err == rpctypes.ErrBadLeaderTransferee)
	_, err = cli.Downgrade(ctx, clientv3.DowngradeValidate, "3.0.0")
	fmt.Println("too far:", err == rpctypes.ErrInvalidDowngradeTargetVersion)
	// Output:
	// no such member: true
	// too far: true
}
