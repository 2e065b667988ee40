// Package keystate decides which versions of a key a session of package concurrency may delete. It
// is pure data. The session guards a [State] by its mutex, makes the requests, and reports each
// put, deletion and read of the key to the State by a method call.
//
// # Terms
//
// An incarnation is a key from its creation to its deletion. Its create revision identifies it:
// each incarnation has a greater create revision than those before it. At most one incarnation of a
// key exists at a time. So a State has one record, for the newest incarnation that the session
// knows of: all earlier incarnations are gone.
//
// A put creates the key if the key does not exist, and otherwise finds the key. An uncertain put
// may have been sent and was not answered. A member that was cut off or stopped may apply the put
// at any later time. The key would then block its queue (the queue of a lock or an election) for as
// long as the session lives.
//
// The users of an incarnation are the calls whose place in the queue is this key, and the locks and
// candidacies that were acquired with this key.
//
// Clean-up is the background work of the session that looks for keys to delete, and deletes them.
//
// # States of the record
//
// In this table, "it" is the incarnation that the record is for.
//
//	state      event                                              next
//	none       a put has created or found an incarnation          in use
//	in use     another put finds it                               in use, by one more user
//	in use     a user leaves, and others remain                   in use
//	in use     the last user leaves; the session has created it   to delete
//	in use     the last user leaves; the session has found it     known, and not deleted
//	in use     Unlock begins                                      ended: later puts do not use it
//	any        the delete of Unlock or Resign is answered         gone
//	any        Unlock or Resign has failed, or Discard is called  to delete
//	none       clean-up sees what an uncertain put has created    to delete
//	to delete  clean-up has deleted it, or finds another version  gone
//	to delete  the server denies the deletion                     denied: puts do not use it
//	to delete  a put of this session finds that another session   in use: this session found it
//	           on the lease has written its own nonce into it
//	gone       a put has created or found a newer incarnation     in use
//
// # Proofs
//
// A session deletes only an incarnation that it can prove to have created. There are four proofs:
//
//   - The answer of a put says that the put has created the key.
//   - The value of a mutex's key begins with the nonce (a random text) of the session that has
//     created the key. If another session on the lease finds the key, it writes its own nonce into
//     the value before it uses the key.
//   - A candidate's key has the value of an uncertain put. The user chooses the value, so this is a
//     proof only while no other session uses the lease, and no other put is under way. If another
//     session may use the lease, no put of a candidate's key counts as uncertain. Another session
//     may use it if this session got the lease from WithLease, or is orphaned (has ended without
//     revoking the lease).
//   - Discard was called for the key: no other put uses the key's name.
//
// # Invariants
//
//   - An incarnation that has users is not deleted by this session, except by Unlock and Resign.
//   - An incarnation in the state "to delete", "ended", "denied" or "gone" gets no users. If a put
//     finds such an incarnation, the caller deletes it and puts again, even if the answer to the
//     put comes late.
//   - An incarnation that the session has found, not created, is deleted by Unlock and Resign only.
//   - Each deletion has a [Version] as its condition. The version of a mutex's key changes when
//     another session writes its nonce into the value. So a deletion that is applied late does not
//     delete a later version.
//   - If a member may still apply a put, the State counts the put as uncertain. The count falls
//     only when an incarnation is found that an uncertain put has created, or when the session
//     gives up on the uncertain puts.
//   - After Orphan the session does not look for keys that uncertain puts create. It deletes only
//     versions that it knows. It deletes a candidate's key only when the call that has created the
//     key fails.
package keystate
