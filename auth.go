package clientv3

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The methods of Auth return these types. Each is a protobuf message of etcd's Auth service under a
// name of this package.
type (
	// AuthEnableResponse is the answer to AuthEnable.
	AuthEnableResponse pb.AuthEnableResponse
	// AuthDisableResponse is the answer to AuthDisable.
	AuthDisableResponse pb.AuthDisableResponse
	// AuthStatusResponse is the answer to AuthStatus.
	AuthStatusResponse pb.AuthStatusResponse
	// AuthenticateResponse is the answer to Authenticate.
	AuthenticateResponse pb.AuthenticateResponse
	// AuthUserAddResponse is the answer to UserAdd and UserAddWithOptions.
	AuthUserAddResponse pb.AuthUserAddResponse
	// AuthUserDeleteResponse is the answer to UserDelete.
	AuthUserDeleteResponse pb.AuthUserDeleteResponse
	// AuthUserChangePasswordResponse is the answer to UserChangePassword.
	AuthUserChangePasswordResponse pb.AuthUserChangePasswordResponse
	// AuthUserGrantRoleResponse is the answer to UserGrantRole.
	AuthUserGrantRoleResponse pb.AuthUserGrantRoleResponse
	// AuthUserGetResponse is the answer to UserGet.
	AuthUserGetResponse pb.AuthUserGetResponse
	// AuthUserRevokeRoleResponse is the answer to UserRevokeRole.
	AuthUserRevokeRoleResponse pb.AuthUserRevokeRoleResponse
	// AuthUserListResponse is the answer to UserList.
	AuthUserListResponse pb.AuthUserListResponse
	// AuthRoleAddResponse is the answer to RoleAdd.
	AuthRoleAddResponse pb.AuthRoleAddResponse
	// AuthRoleGrantPermissionResponse is the answer to RoleGrantPermission.
	AuthRoleGrantPermissionResponse pb.AuthRoleGrantPermissionResponse
	// AuthRoleGetResponse is the answer to RoleGet.
	AuthRoleGetResponse pb.AuthRoleGetResponse
	// AuthRoleRevokePermissionResponse is the answer to RoleRevokePermission.
	AuthRoleRevokePermissionResponse pb.AuthRoleRevokePermissionResponse
	// AuthRoleDeleteResponse is the answer to RoleDelete.
	AuthRoleDeleteResponse pb.AuthRoleDeleteResponse
	// AuthRoleListResponse is the answer to RoleList.
	AuthRoleListResponse pb.AuthRoleListResponse
)

type (
	// UserAddOptions says which kind of user UserAddWithOptions adds. If NoPassword is set, the
	// user cannot log in with a password. Servers then recognise the user by the common name of the
	// client's certificate.
	UserAddOptions authpb.UserAddOptions

	// Permission is what a role may do with the keys in [Key, RangeEnd), or with Key alone if
	// RangeEnd is empty.
	Permission authpb.Permission

	// PermissionType is a kind of access. PermRead, PermWrite and PermReadWrite are constants of
	// the protocol's type, so convert them: PermissionType(PermRead).
	PermissionType authpb.Permission_Type
)

// The kinds of access that a role can be granted.
const (
	PermRead      = authpb.READ      // get and watch
	PermWrite     = authpb.WRITE     // put and delete
	PermReadWrite = authpb.READWRITE // get, watch, put and delete
)

// StrToPermissionType returns the permission type named s: "read", "write" or "readwrite", in upper
// or lower case. For any other s it returns -1 and an error that names s.
func StrToPermissionType(s string) (PermissionType, error) {
	if t, ok := authpb.Permission_Type_value[strings.ToUpper(s)]; ok {
		return PermissionType(t), nil
	}
	return -1, fmt.Errorf("invalid permission type: %q", s)
}

// Auth manages users and roles, and turns authentication on and off. All methods are safe for
// concurrent use.
//
// Each method sends one request, and blocks until the request is answered or ctx ends. A request
// that changes something is sent again only if it is certain that no server applied it. Other
// requests are sent again while no member can serve them.
//
// While authentication is enabled, all methods but Authenticate and AuthStatus need a user with the
// role "root"; other users get [rpctypes.ErrPermissionDenied]. Without that role, a user may call
// UserGet for itself and RoleGet for its roles.
type Auth interface {
	// Authenticate logs in with name and password, and returns a token. A client with a user in its
	// Config logs in by itself. Authenticate returns [rpctypes.ErrAuthFailed] for a wrong name or
	// password, and [rpctypes.ErrAuthNotEnabled] if authentication is not enabled.
	Authenticate(ctx context.Context, name, password string) (*AuthenticateResponse, error)

	// AuthEnable turns authentication on: from then on, only authenticated users may read and write
	// keys. AuthEnable returns [rpctypes.ErrRootUserNotExist] or [rpctypes.ErrRootRoleNotExist]
	// unless there is a user "root" with the role "root".
	AuthEnable(ctx context.Context) (*AuthEnableResponse, error)

	// AuthDisable turns authentication off: every client may then read and write everything.
	AuthDisable(ctx context.Context) (*AuthDisableResponse, error)

	// AuthStatus reports whether authentication is enabled, and returns the revision of the auth
	// store. Each change of users, roles and permissions increases that revision.
	AuthStatus(ctx context.Context) (*AuthStatusResponse, error)

	// UserAdd adds a user with a password. It returns [rpctypes.ErrUserAlreadyExist] if the user
	// exists, and [rpctypes.ErrUserEmpty] for an empty name.
	UserAdd(ctx context.Context, name, password string) (*AuthUserAddResponse, error)

	// UserAddWithOptions adds a user of the kind that opt describes. Its errors are those of
	// UserAdd. A nil opt means a user with a password. If opt asks for a user without a password,
	// password is ignored.
	UserAddWithOptions(
		ctx context.Context, name, password string, opt *UserAddOptions,
	) (*AuthUserAddResponse, error)

	// UserDelete deletes a user. It returns [rpctypes.ErrUserNotFound] if there is no such user,
	// and [rpctypes.ErrInvalidAuthMgmt] for the user "root" while authentication is enabled.
	UserDelete(ctx context.Context, name string) (*AuthUserDeleteResponse, error)

	// UserChangePassword changes the password of a user and makes the user's tokens invalid. It
	// returns [rpctypes.ErrUserNotFound] if there is no such user.
	UserChangePassword(
		ctx context.Context, name, password string,
	) (*AuthUserChangePasswordResponse, error)

	// UserGrantRole grants a role to a user. It returns no error if the user has the role already.
	// It returns [rpctypes.ErrUserNotFound] if the user does not exist, and
	// [rpctypes.ErrRoleNotFound] if the role does not exist.
	UserGrantRole(ctx context.Context, user, role string) (*AuthUserGrantRoleResponse, error)

	// UserGet returns the names of a user's roles, sorted. It returns [rpctypes.ErrUserNotFound] if
	// there is no such user.
	UserGet(ctx context.Context, name string) (*AuthUserGetResponse, error)

	// UserList returns the names of all users.
	UserList(ctx context.Context) (*AuthUserListResponse, error)

	// UserRevokeRole takes a role from a user. It returns [rpctypes.ErrUserNotFound] if there is no
	// such user, and [rpctypes.ErrRoleNotGranted] if the user does not have the role. While
	// authentication is enabled, it returns [rpctypes.ErrInvalidAuthMgmt] for the role "root" of
	// the user "root".
	UserRevokeRole(ctx context.Context, name, role string) (*AuthUserRevokeRoleResponse, error)

	// RoleAdd adds a role without permissions. It returns [rpctypes.ErrRoleAlreadyExist] if the
	// role exists, and [rpctypes.ErrRoleEmpty] for an empty name.
	RoleAdd(ctx context.Context, name string) (*AuthRoleAddResponse, error)

	// RoleGrantPermission lets a role use the keys in [key, rangeEnd), or key alone if rangeEnd is
	// "". A rangeEnd of "\x00" means all keys from key on; [GetPrefixRangeEnd] returns the rangeEnd
	// for all keys with a prefix. The new permission replaces one that the role already has for
	// exactly this key and rangeEnd. RoleGrantPermission returns [rpctypes.ErrRoleNotFound] if
	// there is no such role.
	RoleGrantPermission(
		ctx context.Context, name string, key, rangeEnd string, permType PermissionType,
	) (*AuthRoleGrantPermissionResponse, error)

	// RoleGet returns the permissions of a role, or [rpctypes.ErrRoleNotFound] if there is no such
	// role.
	RoleGet(ctx context.Context, role string) (*AuthRoleGetResponse, error)

	// RoleList returns the names of all roles.
	RoleList(ctx context.Context) (*AuthRoleListResponse, error)

	// RoleRevokePermission revokes the permission that was granted for exactly this key and
	// rangeEnd. It returns [rpctypes.ErrRoleNotFound] if there is no such role, and
	// [rpctypes.ErrPermissionNotGranted] if the role has no such permission.
	RoleRevokePermission(
		ctx context.Context, role string, key, rangeEnd string,
	) (*AuthRoleRevokePermissionResponse, error)

	// RoleDelete deletes a role and takes it from all users. It returns [rpctypes.ErrRoleNotFound]
	// if there is no such role, and [rpctypes.ErrInvalidAuthMgmt] for the role "root" while
	// authentication is enabled.
	RoleDelete(ctx context.Context, role string) (*AuthRoleDeleteResponse, error)
}

type auth struct{ remote pb.AuthClient }

// NewAuth returns an Auth that sends its requests through c. A Client made by New already embeds
// such an Auth.
func NewAuth(c *Client) Auth { return NewAuthFromAuthClient(RetryAuthClient(c), c) }

// NewAuthFromAuthClient returns an Auth that sends its requests through remote, which may be a stub
// of a server in the same process. The parameter c is not used and may be nil.
func NewAuthFromAuthClient(remote pb.AuthClient, c *Client) Auth { return &auth{remote: remote} }

func (a *auth) Authenticate(
	ctx context.Context, name, password string,
) (*AuthenticateResponse, error) {
	resp, err := unary(ctx, a.remote.Authenticate,
		&pb.AuthenticateRequest{Name: name, Password: password})
	return (*AuthenticateResponse)(resp), err
}

func (a *auth) AuthEnable(ctx context.Context) (*AuthEnableResponse, error) {
	resp, err := unary(ctx, a.remote.AuthEnable, &pb.AuthEnableRequest{})
	return (*AuthEnableResponse)(resp), err
}

func (a *auth) AuthDisable(ctx context.Context) (*AuthDisableResponse, error) {
	resp, err := unary(ctx, a.remote.AuthDisable, &pb.AuthDisableRequest{})
	return (*AuthDisableResponse)(resp), err
}

func (a *auth) AuthStatus(ctx context.Context) (*AuthStatusResponse, error) {
	resp, err := unary(ctx, a.remote.AuthStatus, &pb.AuthStatusRequest{})
	return (*AuthStatusResponse)(resp), err
}

func (a *auth) UserAdd(ctx context.Context, name, password string) (*AuthUserAddResponse, error) {
	return a.UserAddWithOptions(ctx, name, password, &UserAddOptions{})
}

func (a *auth) UserAddWithOptions(
	ctx context.Context, name, password string, opt *UserAddOptions,
) (*AuthUserAddResponse, error) {
	resp, err := unary(ctx, a.remote.UserAdd, &pb.AuthUserAddRequest{
		Name:     name,
		Password: password,
		Options:  (*authpb.UserAddOptions)(opt),
	})
	return (*AuthUserAddResponse)(resp), err
}

func (a *auth) UserDelete(ctx context.Context, name string) (*AuthUserDeleteResponse, error) {
	resp, err := unary(ctx, a.remote.UserDelete, &pb.AuthUserDeleteRequest{Name: name})
	return (*AuthUserDeleteResponse)(resp), err
}

func (a *auth) UserChangePassword(
	ctx context.Context, name, password string,
) (*AuthUserChangePasswordResponse, error) {
	resp, err := unary(ctx, a.remote.UserChangePassword,
		&pb.AuthUserChangePasswordRequest{Name: name, Password: password})
	return (*AuthUserChangePasswordResponse)(resp), err
}

func (a *auth) UserGrantRole(
	ctx context.Context, user, role string,
) (*AuthUserGrantRoleResponse, error) {
	resp, err := unary(ctx, a.remote.UserGrantRole,
		&pb.AuthUserGrantRoleRequest{User: user, Role: role})
	return (*AuthUserGrantRoleResponse)(resp), err
}

func (a *auth) UserGet(ctx context.Context, name string) (*AuthUserGetResponse, error) {
	resp, err := unary(ctx, a.remote.UserGet, &pb.AuthUserGetRequest{Name: name})
	return (*AuthUserGetResponse)(resp), err
}

func (a *auth) UserList(ctx context.Context) (*AuthUserListResponse, error) {
	resp, err := unary(ctx, a.remote.UserList, &pb.AuthUserListRequest{})
	return (*AuthUserListResponse)(resp), err
}

func (a *auth) UserRevokeRole(
	ctx context.Context, name, role string,
) (*AuthUserRevokeRoleResponse, error) {
	resp, err := unary(ctx, a.remote.UserRevokeRole,
		&pb.AuthUserRevokeRoleRequest{Name: name, Role: role})
	return (*AuthUserRevokeRoleResponse)(resp), err
}

func (a *auth) RoleAdd(ctx context.Context, name string) (*AuthRoleAddResponse, error) {
	resp, err := unary(ctx, a.remote.RoleAdd, &pb.AuthRoleAddRequest{Name: name})
	return (*AuthRoleAddResponse)(resp), err
}

func (a *auth) RoleGrantPermission(
	ctx context.Context, name string, key, rangeEnd string, permType PermissionType,
) (*AuthRoleGrantPermissionResponse, error) {
	resp, err := unary(ctx, a.remote.RoleGrantPermission, &pb.AuthRoleGrantPermissionRequest{
		Name: name,
		Perm: &authpb.Permission{Key: []byte(key), RangeEnd: []byte(rangeEnd),
			PermType: authpb.Permission_Type(permType)},
	})
	return (*AuthRoleGrantPermissionResponse)(resp), err
}

func (a *auth) RoleGet(ctx context.Context, role string) (*AuthRoleGetResponse, error) {
	resp, err := unary(ctx, a.remote.RoleGet, &pb.AuthRoleGetRequest{Role: role})
	return (*AuthRoleGetResponse)(resp), err
}

func (a *auth) RoleList(ctx context.Context) (*AuthRoleListResponse, error) {
	resp, err := unary(ctx, a.remote.RoleList, &pb.AuthRoleListRequest{})
	return (*AuthRoleListResponse)(resp), err
}

func (a *auth) RoleRevokePermission(
	ctx context.Context, role string, key, rangeEnd string,
) (*AuthRoleRevokePermissionResponse, error) {
	resp, err := unary(ctx, a.remote.RoleRevokePermission, &pb.AuthRoleRevokePermissionRequest{
		Role:     role,
		Key:      []byte(key),
		RangeEnd: []byte(rangeEnd),
	})
	return (*AuthRoleRevokePermissionResponse)(resp), err
}

func (a *auth) RoleDelete(ctx context.Context, role string) (*AuthRoleDeleteResponse, error) {
	resp, err := unary(ctx, a.remote.RoleDelete, &pb.AuthRoleDeleteRequest{Role: role})
	return (*AuthRoleDeleteResponse)(resp), err
}
