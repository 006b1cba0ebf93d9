/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: operations name the interface of a route, and a step need not: then it is found as
 * the kernel finds it, by the routes that reach the next hop without another.
 */
#include "plan_stepping.h"

#include <errno.h>
#include <string.h>

static bool has_address(const struct state_namespace *ns, uint32_t ifindex,
			const struct ip_address *address)
{
	for (size_t i = 0; i < ns->addresses_count; i++)
		if (ns->addresses[i].ifindex == ifindex &&
		    ip_equal(&ns->addresses[i].address, address) &&
		    ns->addresses[i].address.prefix_len == address->prefix_len)
			return true;
	return false;
}

int stepping_address(struct stepping *s)
{
	const struct step *step = s->step;
	const char *namespace = step->link.namespace;
	const struct state_link *link;
	char text[IP_TEXT_MAX];
	struct operation *op;
	int code = stepping_need_link(s, namespace, step->link.name, &link);

	if (code)
		return code;
	if (step->verb == STEP_DELETE &&
	    !has_address(stepping_namespace(s, namespace), link->ifindex, &step->address))
		return error_set(
			s->err, -EADDRNOTAVAIL,
			"cannot delete address %s from '%s'%s: %s; see which it has (nsroute "
			"addr%s list dev %s)",
			ip_format_prefix(&step->address, text), link->name,
			stepping_in(s, namespace), strerror(EADDRNOTAVAIL),
			stepping_option(s, namespace), link->name);
	op = stepping_add(s, step->verb == STEP_ADD ? OPERATION_ADDRESS_ADD
						    : OPERATION_ADDRESS_DELETE);
	op->namespace = namespace;
	op->link = link->name;
	op->address = step->address;
	return 0;
}

/* The most specific route that reaches an address without another hop. */
static const struct state_link *link_towards(const struct stepping *s, const char *namespace,
					     const struct ip_address *via)
{
	const struct state_namespace *ns = stepping_namespace(s, namespace);
	const struct state_route *best = NULL;

	for (size_t i = 0; i < ns->routes_count; i++) {
		const struct state_route *route = &ns->routes[i];

		if (!route->via.family && route->ifindex && ip_within(via, &route->to) &&
		    (!best || route->to.prefix_len > best->to.prefix_len))
			best = route;
	}
	return best ? view_link_by_index(s->view, namespace, best->ifindex) : NULL;
}

static const char *destination(const struct step *step, char buffer[IP_TEXT_MAX])
{
	return step->address.prefix_len ? ip_format_prefix(&step->address, buffer) : "default";
}

static int need_route_link(struct stepping *s, const struct state_link **ret)
{
	const struct step *step = s->step;
	const char *namespace = step->link.namespace;
	char to[IP_TEXT_MAX], via[IP_TEXT_MAX];
	const struct state_link *link;
	int code = stepping_need_namespace(s, namespace);

	if (code)
		return code;
	if (step->link.name)
		return stepping_need_link(s, namespace, step->link.name, ret);
	link = link_towards(s, namespace, &step->via);
	if (!link)
		return error_set(s->err, -ENETUNREACH,
				 "cannot add route %s via %s%s: %s: no interface that is up has an "
				 "address in the network of %s (nsroute addr%s list)",
				 destination(step, to), ip_format(&step->via, via),
				 stepping_in(s, namespace), strerror(ENETUNREACH), via,
				 stepping_option(s, namespace));
	return stepping_need_link(s, namespace, link->name, ret);
}

static struct operation *route_operation(struct stepping *s, enum operation_kind kind,
					 const char *link, const struct ip_address *via)
{
	struct operation *op = stepping_add(s, kind);

	op->namespace = s->step->link.namespace;
	op->link = link;
	op->address = s->step->address;
	op->via = plan_host_address(*via);
	return op;
}

static bool is_meant(const struct stepping *s, const struct state_route *route)
{
	const struct step *step = s->step;
	const struct state_link *link =
		view_link_by_index(s->view, step->link.namespace, route->ifindex);

	return link && route->to.family == step->address.family &&
	       route->to.prefix_len == step->address.prefix_len &&
	       ip_equal(&route->to, &step->address) &&
	       (!step->via.family ||
		(route->via.family == step->via.family && ip_equal(&route->via, &step->via))) &&
	       (!step->link.name || !strcmp(step->link.name, link->name));
}

static int delete_route(struct stepping *s)
{
	const char *namespace = s->step->link.namespace;
	const struct state_namespace *ns = stepping_namespace(s, namespace);
	const struct state_link *link;
	struct operation *op;
	char to[IP_TEXT_MAX];
	int code = stepping_need_namespace(s, namespace);

	for (size_t i = 0; !code && i < ns->routes_count; i++) {
		const struct state_route *route = &ns->routes[i];

		if (!is_meant(s, route))
			continue;
		link = view_link_by_index(s->view, namespace, route->ifindex);
		code = stepping_need_link(s, namespace, link->name, &link);
		if (code)
			return code;
		op = route_operation(s, OPERATION_ROUTE_DELETE, link->name, &route->via);
		op->unmarked = route->protocol != STATE_PROTOCOL;
		op->protocol = route->protocol;
		return 0;
	}
	return code ? code
		    : error_set(s->err, -ESRCH,
				"cannot delete route %s%s: %s: there is none; see which there are "
				"(nsroute route%s list)",
				destination(s->step, to), stepping_in(s, namespace),
				strerror(ESRCH), stepping_option(s, namespace));
}

int stepping_route(struct stepping *s)
{
	const struct state_link *link;
	int code;

	if (s->step->verb == STEP_DELETE)
		return delete_route(s);
	code = need_route_link(s, &link);
	if (!code)
		route_operation(s, OPERATION_ROUTE_ADD, link->name, &s->step->via);
	return code;
}
