/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is recorded is looked for, what bears our mark is looked up in the records,
 * and the file is asked what it would change. "apply" mends all of it, so that is what most
 * findings say; they differ in what they explain.
 */
#include "doctor.h"

#include <stdio.h>
#include <string.h>

#include "doctor_view.h"
#include "plan_publish.h"
#include "plan_reserve.h"
#include "port_set.h"

#define MARK "nsroute:" /* what aliases of ours begin with */

static void report_entry(struct doctor_world *world, const struct record *record, const char *check,
			 const char *name, bool is_namespace, const char *what, const char *why)
{
	struct doctor_finding *finding = doctor_add(world, DOCTOR_PROBLEM, check);

	finding->fabric = record->fabric;
	finding->namespace = is_namespace ? name : "host";
	finding->interface = is_namespace ? NULL : name;
	finding->where = is_namespace ? name : arena_printf(world->arena, "host:%s", name);
	finding->what = what;
	finding->why = why;
	finding->mend = doctor_apply(world, record);
}

/* ---- Recorded, and not there. */

static void check_recorded_namespace(struct doctor_world *world, const struct record *record,
				     const char *name)
{
	for (size_t i = 0; i < world->state->namespaces_count; i++) {
		const struct state_namespace *namespace = &world->state->namespaces[i];

		if (strcmp(namespace->name, name) || !namespace->exists)
			continue;
		if (!strncmp(namespace->alias, MARK, strlen(MARK)))
			return;
		report_entry(world, record, "namespace-foreign", name, true,
			     "somebody made another namespace of this name",
			     "nsroute leaves it alone, and the fabric is without its own");
		world->findings[world->findings_count - 1].mend = doctor_then(
			world, arena_printf(world->arena, "%sip netns del %s", world->prefix, name),
			doctor_apply(world, record));
		return;
	}
	report_entry(world, record, "namespace-missing", name, true, "the namespace is gone",
		     "somebody deleted it, with all that was in it");
}

/* "02:00:00:00:00:01" of the record. */
static void check_mac(struct doctor_world *world, const struct record_entry *entry,
		      const struct state_link *link)
{
	struct doctor_finding *finding;
	char text[MAC_TEXT_MAX];
	uint8_t mac[6];

	if (!mac_parse(entry->value, mac) || !memcmp(mac, link->mac, sizeof(mac)))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "mac-changed", &world->state->host,
				link->name);
	finding->what = arena_printf(world->arena, "somebody changed its MAC address from %s to %s",
				     entry->value, mac_format(link->mac, text));
	finding->why = "neighbours and programs know the old one; udev (MACAddressPolicy) and "
		       "NetworkManager do such things";
	finding->mend = doctor_ip(world, &world->state->host, "link set %s address %s", link->name,
				  entry->value);
}

static void check_recorded_link(struct doctor_world *world, const struct record *record,
				const struct record_entry *entry)
{
	const struct doctor_interface *interface =
		doctor_interface_named(world, &world->state->host, entry->name);

	if (!interface)
		report_entry(world, record, "link-missing", entry->name, false,
			     "the interface is gone",
			     "somebody deleted it, or its peer, or the namespace of its peer");
	else
		check_mac(world, entry, interface->link);
}

/* ---- Programs. */

static void report_program(struct doctor_world *world, const struct record *record,
			   const char *name, const char *check, const char *what)
{
	report_entry(world, record, check, name, false, what,
		     "packets go by the kernel's own path, without policy, translation and "
		     "counters");
}

static void check_programs(struct doctor_world *world, const struct record *record,
			   const char *name)
{
	const struct doctor_interface *interface =
		doctor_interface_named(world, &world->state->host, name);
	const struct state_link *link = interface ? interface->link : NULL;

	if (!link || state_link_is_hooked(link))
		return;
	if (link->shared_block) {
		report_program(world, record, name, "shared-block",
			       "its clsact keeps its filters in a block that links share, and "
			       "nsroute's programs are not in it");
	} else if (link->ingress_qdisc) {
		report_program(world, record, name, "ingress-qdisc",
			       "an ingress qdisc is where nsroute's clsact would be");
	} else if (link->place_taken) {
		report_program(world, record, name, "place-taken",
			       "somebody else's filter has the priority of nsroute's programs");
		world->findings[world->findings_count - 1].mend = doctor_then(
			world,
			doctor_run(world, &world->state->host, "tc filter del dev %s %s pref %d",
				   name,
				   link->hook_in || link->ifindex == STATE_LOOPBACK ? "egress"
										    : "ingress",
				   STATE_HOOK_PRIORITY),
			doctor_apply(world, record));
		return;
	} else {
		report_program(world, record, name, "program-missing",
			       link->hook_in || link->hook_out
				       ? "one of nsroute's two programs is not attached"
				       : "nsroute's programs are not attached");
		return;
	}
	world->findings[world->findings_count - 1].mend =
		doctor_then(world,
			    doctor_run(world, &world->state->host, "tc qdisc del dev %s %s", name,
				       link->ingress_qdisc ? "ingress" : "clsact"),
			    doctor_apply(world, record));
}

/* A namespace that changes its own MAC address is taken for a liar. */
static void check_inside_mac(struct doctor_world *world, const struct doctor_interface *host_end,
			     const struct state_port *port)
{
	const struct doctor_interface *inside = host_end->peer;
	struct doctor_finding *finding;
	char text[MAC_TEXT_MAX];

	if (!inside || !memcmp(port->port.mac, inside->link->mac, sizeof(port->port.mac)))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "mac-changed", inside->namespace,
				inside->link->name);
	finding->what = arena_printf(world->arena, "somebody changed its MAC address to %s",
				     mac_format(inside->link->mac, text));
	finding->why = "what it sends is dropped as \"spoofed-mac\"";
	finding->mend = doctor_ip(world, inside->namespace, "link set %s address %s",
				  inside->link->name, mac_format(port->port.mac, text));
}

static void check_port(struct doctor_world *world, const struct record *record, const char *name)
{
	const struct doctor_interface *interface =
		doctor_interface_named(world, &world->state->host, name);
	const struct state_port *port =
		interface ? doctor_port(world, interface->link->ifindex) : NULL;
	struct doctor_finding *finding;

	if (!port)
		return;
	check_programs(world, record, name);
	check_inside_mac(world, interface, port);
	if (!interface->link->other_qdisc)
		return;
	finding = doctor_add_at(world, DOCTOR_NOTE, "qdisc", &world->state->host, name);
	finding->what = "has a queueing discipline, so what is sent to it takes no fast path";
	finding->why = "the fast path would go past it: by design, but slower";
	finding->mend = doctor_then(
		world, doctor_run(world, &world->state->host, "tc qdisc del dev %s root", name),
		doctor_apply(world, record));
}

/* ---- Marked, and not recorded. */

static bool is_recorded(const struct doctor_world *world, enum record_kind kind, const char *name)
{
	for (size_t i = 0; i < world->state->others_count; i++)
		if (record_has(&world->state->others[i], kind, name))
			return true;
	return false;
}

static bool is_our_mark(const struct doctor_world *world, const char *alias)
{
	if (strncmp(alias, MARK, strlen(MARK)))
		return false;
	return !world->only || !strcmp(alias + strlen(MARK), world->only);
}

static void check_marked_link(struct doctor_world *world, const struct state_link *link)
{
	struct doctor_finding *finding;

	if (!is_our_mark(world, link->alias) || is_recorded(world, RECORD_LINK, link->name))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "orphan", &world->state->host, link->name);
	finding->what = arena_printf(world->arena,
				     "is marked as of the fabric '%s', and no record knows it",
				     link->alias + strlen(MARK));
	finding->why = "\"nsroute down\" does not remove what is not recorded";
	finding->mend = doctor_ip(world, &world->state->host, "link del %s", link->name);
}

/* ---- The file. */

static void check_file(struct doctor_world *world, const struct doctor_fabric *fabric)
{
	static const struct {
		enum doctor_status status;
		const char *check, *why;
	} kinds[] = {
		[DOCTOR_FILE_DIFFERS] = {DOCTOR_PROBLEM, "differs",
					 "the file was edited and not applied, or somebody changed "
					 "what nsroute made"},
		[DOCTOR_FILE_GONE] = {DOCTOR_NOTE, "file-gone",
				      "the fabric works, and \"nsroute down\" removes it by its "
				      "record; it cannot be changed or restored"},
		[DOCTOR_FILE_INVALID] = {DOCTOR_PROBLEM, "file-invalid",
					 "the fabric works as it is, and cannot be changed or "
					 "restored"},
		[DOCTOR_FILE_REFUSED] = {DOCTOR_PROBLEM, "refused",
					 "\"nsroute apply\" would be refused, so nothing can be "
					 "mended by it"},
	};
	const struct record *record = fabric->record;
	struct doctor_finding *finding;

	if (fabric->file == DOCTOR_FILE_SAME)
		return;
	finding = doctor_add(world, kinds[fabric->file].status, kinds[fabric->file].check);
	finding->fabric = finding->where = record->fabric;
	finding->why = kinds[fabric->file].why;
	if (fabric->file == DOCTOR_FILE_DIFFERS) {
		finding->what = arena_printf(world->arena,
					     "differs from its file %s in %zu operation%s, the "
					     "first of which is \"%s\" (nsroute plan shows all)",
					     record->file, fabric->operations,
					     fabric->operations == 1 ? "" : "s", fabric->first);
		finding->mend = doctor_apply(world, record);
	} else if (fabric->file == DOCTOR_FILE_GONE) {
		finding->what = arena_printf(world->arena, "its file %s is gone", record->file);
	} else {
		finding->what = fabric->first;
		finding->mend = doctor_edit(world, record);
	}
}

/* ---- Published ports. */

/* Those of the fabric that a socket of the host's can get when it asks for any port. */
static void find_unreserved(struct doctor_world *world, const struct record *record,
			    struct port_set *ret)
{
	const struct state_namespace *host = &world->state->host;
	struct port_set reserved = {}, range = {};
	unsigned int first, last;

	if (sscanf(doctor_sysctl(host, "net/ipv4/ip_local_port_range"), "%5u %5u", &first, &last) !=
		    2 ||
	    first > last)
		return;
	port_set_add(&range, (uint16_t)first, (uint16_t)(last - first + 1));
	port_set_read(&reserved, doctor_sysctl(host, RESERVED_KEY));
	for (size_t i = 0; i < record->count; i++) {
		struct operation published;

		if (record->entries[i].kind == RECORD_PUBLISHED &&
		    plan_publish_read(&record->entries[i], world->arena, &published))
			port_set_add(ret, published.ports.external, published.ports.count);
	}
	port_set_keep(ret, &range);
	port_set_take_out(ret, &reserved);
}

static void check_reserved(struct doctor_world *world, const struct doctor_fabric *fabric)
{
	const char *reserved = doctor_sysctl(&world->state->host, RESERVED_KEY), *ports;
	struct port_set unreserved = {};
	struct doctor_finding *finding;

	find_unreserved(world, fabric->record, &unreserved);
	if (port_set_empty(&unreserved))
		return;
	ports = port_set_text(&unreserved, world->arena);
	finding = doctor_add(world, DOCTOR_PROBLEM, "unreserved");
	finding->fabric = fabric->record->fabric;
	finding->where = RESERVED_KEY;
	finding->what = arena_printf(world->arena,
				     "does not have the published ports %s, which the kernel "
				     "gives to sockets of the host's (ip_local_port_range)",
				     ports);
	finding->why = "such a socket gets no answers from outside: they go to the namespace";
	finding->mend = fabric->file == DOCTOR_FILE_SAME || fabric->file == DOCTOR_FILE_DIFFERS
				? doctor_apply(world, fabric->record)
				: arena_printf(world->arena, "%s%s%s%s",
					       doctor_run(world, &world->state->host,
							  "sysctl -w " RESERVED_KEY "="),
					       reserved, *reserved ? "," : "", ports);
}

void doctor_check_fabrics(struct doctor_world *world)
{
	for (size_t i = 0; i < world->fabrics_count; i++) {
		const struct record *record = world->fabrics[i].record;

		for (size_t j = 0; j < record->count; j++) {
			const struct record_entry *entry = &record->entries[j];

			if (entry->kind == RECORD_NETNS)
				check_recorded_namespace(world, record, entry->name);
			if (entry->kind == RECORD_LINK) {
				check_recorded_link(world, record, entry);
				check_port(world, record, entry->name);
			}
			if (entry->kind == RECORD_UPLINK) {
				if (!doctor_interface_named(world, &world->state->host,
							    entry->name))
					report_entry(world, record, "link-missing", entry->name,
						     false, "the uplink is gone",
						     "nothing reaches the outside");
				check_programs(world, record, entry->name);
			}
		}
		check_file(world, &world->fabrics[i]);
		check_reserved(world, &world->fabrics[i]);
	}
	for (size_t i = 0; i < world->state->host.links_count; i++)
		check_marked_link(world, &world->state->host.links[i]);
}
