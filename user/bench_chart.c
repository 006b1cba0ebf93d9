/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: panels stand below each other, each with the paths of one test in the order
 * measured. A bar is as long as the median; a thin line across its end joins the quartiles; a
 * vertical line is the direct veth, 1.0. Paths without a figure have no bar in that panel. All
 * panels share one scale, which ends at the longest quartile.
 */
#include "bench_chart.h"

#include <string.h>

#define WIDTH       860
#define LABEL_WIDTH 270
#define BAR_WIDTH   470.0 /* of the longest */
#define ROW         22
#define BAR         14
#define HEAD        64 /* above the first panel */
#define PANEL_HEAD  40
#define PANEL_FOOT  14
#define SCALE_MIN   1.2

static void print_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			fputc((unsigned char)*text < ' ' ? '?' : *text, out);
		}
	}
}

static void print_text(FILE *out, double x, double y, const char *class, const char *text)
{
	fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" class=\"%s\">", x, y, class);
	print_escaped(out, text);
	fputs("</text>\n", out);
}

static const char *string_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* The path's result of a test that has a figure, or NULL. */
static const json_t *figure_of(const json_t *path, const char *test)
{
	json_t *result;
	size_t i;

	json_array_foreach(json_object_get(path, "results"), i, result)
	{
		if (strcmp(string_of(result, "test"), test) == 0 &&
		    json_is_number(json_object_get(result, "ratio")))
			return result;
	}
	return NULL;
}

static size_t count_figures(const json_t *tree, const char *test)
{
	size_t count = 0, i;
	json_t *path;

	json_array_foreach(json_object_get(tree, "paths"), i, path) count +=
		figure_of(path, test) != NULL;
	return count;
}

static double find_scale(const json_t *tree)
{
	json_t *path, *result;
	double longest = SCALE_MIN;
	size_t i, j;

	json_array_foreach(json_object_get(tree, "paths"), i, path)
	{
		json_array_foreach(json_object_get(path, "results"), j, result)
		{
			if (number_of(result, "quartile3") > longest)
				longest = number_of(result, "quartile3");
		}
	}
	return BAR_WIDTH / longest;
}

static void print_bar(FILE *out, const json_t *path, const json_t *result, double y, double scale)
{
	double ratio = number_of(result, "ratio"), low = number_of(result, "quartile1"),
	       high = number_of(result, "quartile3"), middle = y + BAR / 2.0;
	char label[64];

	print_text(out, LABEL_WIDTH - 8, y + BAR - 3, "name", string_of(path, "description"));
	fprintf(out,
		"<rect x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" class=\"%s\"/>\n"
		"<path d=\"M%.1f %.0fH%.1fM%.1f %.0fv6M%.1f %.0fv6\" class=\"spread\"/>\n",
		LABEL_WIDTH, y, ratio * scale, BAR, string_of(path, "kind"),
		LABEL_WIDTH + low * scale, middle, LABEL_WIDTH + high * scale,
		LABEL_WIDTH + low * scale, middle - 3, LABEL_WIDTH + high * scale, middle - 3);
	snprintf(label, sizeof(label), "%.2f%s", ratio,
		 json_is_true(json_object_get(result, "void")) ? " (void)" : "");
	print_text(out, LABEL_WIDTH + (high > ratio ? high : ratio) * scale + 8, y + BAR - 3,
		   "figure", label);
}

/* "59.1 k" */
static void format_rate(char *text, size_t size, double rate)
{
	static const char *const prefixes[] = {"", " k", " M", " G"};
	size_t i = 0;

	while (rate >= 1000 && i + 1 < sizeof(prefixes) / sizeof(*prefixes)) {
		rate /= 1000;
		i++;
	}
	snprintf(text, size, "%.1f%s", rate, prefixes[i]);
}

/* Without a figure there is no panel. */
static double panel_height(const json_t *tree, const char *test)
{
	size_t figures = count_figures(tree, test);

	return figures ? PANEL_HEAD + PANEL_FOOT + ROW * (double)figures : 0;
}

/* Returns where the next panel begins. */
static double print_panel(FILE *out, const json_t *tree, const char *test, double y, double scale)
{
	const json_t *direct = json_array_get(json_object_get(tree, "paths"), 0);
	const json_t *unit = figure_of(direct, test);
	double end = y + panel_height(tree, test) - PANEL_FOOT;
	char title[128], rate[32];
	json_t *path;
	size_t i;

	if (!unit)
		return y;
	format_rate(rate, sizeof(rate), number_of(unit, "rate"));
	snprintf(title, sizeof(title), "%s: 1.00 is %s %s a second", test, rate,
		 string_of(unit, "unit"));
	print_text(out, LABEL_WIDTH, y + 24, "test", title);
	fprintf(out, "<path d=\"M%.1f %.0fV%.0f\" class=\"one\"/>\n", LABEL_WIDTH + scale,
		y + PANEL_HEAD - 6, end);
	y += PANEL_HEAD;
	json_array_foreach(json_object_get(tree, "paths"), i, path)
	{
		const json_t *result = figure_of(path, test);

		if (!result)
			continue;
		print_bar(out, path, result, y, scale);
		y += ROW;
	}
	return end + PANEL_FOOT;
}

static double find_height(const json_t *tree)
{
	double height = HEAD;
	json_t *test;
	size_t i;

	json_array_foreach(json_object_get(tree, "tests"), i, test) height +=
		panel_height(tree, json_string_value(test));
	return height;
}

static void print_head(FILE *out, const json_t *tree, double height)
{
	char text[160];

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
		"viewBox=\"0 0 %d %.0f\" font-family=\"sans-serif\" font-size=\"12\">\n"
		"<style>text{fill:#222}.name{text-anchor:end}.test{font-weight:bold}"
		".title{font-size:16px;font-weight:bold}.figure{fill:#444}"
		".ceiling{fill:#9a9a9a}.nsroute{fill:#1f6fb4}.bare{fill:#7fb3dc}.peer{fill:#d9a441}"
		".spread{stroke:#222;fill:none}.one{stroke:#888;stroke-dasharray:4 3}</style>\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		WIDTH, height, WIDTH, height);
	print_text(out, 16, 26, "title", "nsroute bench: speed, as a ratio to a direct veth pair");
	snprintf(text, sizeof(text),
		 "Linux %s; medians and quartiles of %.0f rounds of %g s; client on CPU %.0f, "
		 "server on CPU %.0f%s",
		 string_of(tree, "kernel"), number_of(tree, "rounds"), number_of(tree, "seconds"),
		 number_of(tree, "client_cpu"), number_of(tree, "cpu"),
		 json_is_true(json_object_get(tree, "quick")) ? "; a look, not a figure" : "");
	print_text(out, 16, 46, "figure", text);
}

void bench_chart(FILE *out, const json_t *tree)
{
	double scale = find_scale(tree), y = HEAD;
	json_t *test;
	size_t i;

	print_head(out, tree, find_height(tree));
	json_array_foreach(json_object_get(tree, "tests"), i, test) y =
		print_panel(out, tree, json_string_value(test), y, scale);
	fputs("</svg>\n", out);
}
