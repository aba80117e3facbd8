"""What both dashboards share: variables, panels with our defaults, and their place on the grid."""

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus
from grafana_foundation_sdk.builders import stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import heatmap as h
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = d.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Every query is bounded by these two, so one Prometheus may hold several pairs.
SCOPE = 'job=~"$job", instance=~"$instance"'

# A timestamp that was never set is 0, and its age more than a hundred million seconds.
NEVER = 100_000_000

GOOD, WARN, BAD, PLAIN = "green", "orange", "red", "blue"


def scoped(expr: str) -> str:
    """Puts job and instance into every selector: `x{a="b"}` and `x{}` become bounded."""
    return expr.replace("{}", "{" + SCOPE + "}").replace("{@", "{" + SCOPE + ", ")


def age(metric: str) -> str:
    """How long ago a timestamp is."""
    return f"time() - {metric}"


class Link:
    """A data link: the SDK only builds dashboard links, which have other fields."""

    def __init__(self, title: str, path: str) -> None:
        self.link = {"title": title, "url": "${status:raw}" + path, "targetBlank": True}

    def build(self):
        return self.link


def findings(title: str, path: str) -> list:
    return [Link(title, path)]


def linked(panel, links, other):
    """Data links; `other` are those of the table `other`, which stands for many and is none."""
    if links:
        panel = panel.data_links(links)
    if other:
        values = [link.build() for link in other]
        value = d.DynamicConfigValue(id_val="links", value=values)
        panel = panel.override_by_regexp("/^other( |$)/", [value])
    return panel


def query(expr: str, legend: str = "", instant: bool = False, heat: bool = False, ref: str = "A"):
    made = prometheus.Dataquery().expr(scoped(expr)).legend_format(legend).ref_id(ref)
    made = made.instant() if instant else made.range()
    kind = PromQueryFormat.HEATMAP if heat else PromQueryFormat.TIME_SERIES
    return made.format(kind)


def steps(*pairs) -> dashboard.ThresholdsConfig:
    """Thresholds: the first colour has no lower bound."""
    made = [d.Threshold(value=value, color=color) for value, color in pairs]
    return dashboard.ThresholdsConfig().mode(d.ThresholdsMode.ABSOLUTE).steps(made)


def any_is_bad(color: str = BAD):
    return steps((None, GOOD), (1, color))


def colored(mode: d.FieldColorModeId) -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(mode)


def never(text: str) -> list:
    """Says in words that a timestamp was never set."""
    result = d.ValueMappingResult(text=text, color=WARN, index=0)
    return [d.RangeMap(options=d.DashboardRangeMapOptions(from_val=NEVER, to=None, result=result))]


def nothing(text: str, color: str) -> list:
    """Says that there is no data, in a colour of its own: else it has that of a low value."""
    result = d.ValueMappingResult(text=text, color=color, index=9)
    match = d.SpecialValueMatch.NULL_AND_NAN
    return [d.SpecialValueMap(options=d.DashboardSpecialValueMapOptions(match, result))]


def in_words(zero: str, zero_color: str, one: str, one_color: str) -> list:
    words = {
        "0": d.ValueMappingResult(text=zero, color=zero_color, index=0),
        "1": d.ValueMappingResult(text=one, color=one_color, index=1),
    }
    return [d.ValueMap(options=words)]


def base(panel, number: int, title: str, description: str, width: int, height: int):
    panel = panel.id(number).title(title).description(description).datasource(SOURCE)
    return panel.span(width).height(height)


def number(number, title, description, expr, *, unit="short", width=4, limits=None, legend="",
           links=None, mappings=None, decimals=None, empty="no data"):
    """One number of now, on a coloured ground once it is not as it should be.

    Asked as of now: the last value of a range would be there, and green, hours after twinlog's end.
    """
    panel = base(stat.Panel(), number, title, description, width, 4)
    panel = panel.with_target(query(expr, legend, instant=True)).unit(unit).no_value(empty)
    panel = panel.thresholds(limits or any_is_bad())
    panel = panel.color_scheme(colored(d.FieldColorModeId.THRESHOLDS))
    panel = panel.color_mode(c.BigValueColorMode.BACKGROUND)
    panel = panel.justify_mode(c.BigValueJustifyMode.AUTO)
    panel = panel.graph_mode(c.BigValueGraphMode.NONE)
    named = c.BigValueTextMode.VALUE_AND_NAME if legend else c.BigValueTextMode.AUTO
    panel = panel.text_mode(named)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel = panel.decimals(decimals)
    panel = panel.mappings((mappings or []) + nothing(empty, WARN))
    return panel.data_links(links) if links else panel


def lines(number, title, description, queries, *, unit="short", width=12, height=8, limits=None,
          links=None, other=None, decimals=None, empty="no data", stacked=False, log=False,
          low=0):
    """Lines over time; `queries` are pairs of expression and legend."""
    panel = base(timeseries.Panel(), number, title, description, width, height)
    for at, (expr, legend) in enumerate(queries):
        panel = panel.with_target(query(expr, legend, ref=chr(ord("A") + at)))
    panel = panel.unit(unit).no_value(empty).line_width(2).fill_opacity(8)
    panel = panel.show_points(c.VisibilityMode.NEVER)
    # Colours go by name, so a kind or a node has the same one in every panel.
    panel = panel.color_scheme(colored(d.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    legend = common.VizLegendOptions().show_legend(True).calcs(["lastNotNull", "max"])
    legend = legend.display_mode(c.LegendDisplayMode.TABLE).placement(c.LegendPlacement.BOTTOM)
    panel = panel.legend(legend)
    tooltip = common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI)
    panel = panel.tooltip(tooltip.sort(c.SortOrder.DESCENDING))
    if low is not None:
        panel = panel.min(low)
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(limits).thresholds_style(style)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if stacked:
        panel = panel.fill_opacity(40).stacking(
            common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
    if log:
        scale = common.ScaleDistributionConfig().type(c.ScaleDistribution.SYMLOG)
        panel = panel.scale_distribution(scale.log(10).linear_threshold(0.01))
    return linked(panel, links, other)


def bars(number, title, description, expr, legend, *, width=8, height=8, limits=None, links=None,
         other=None, empty="no data"):
    """One bar for each label, the present value."""
    panel = base(bargauge.Panel(), number, title, description, width, height)
    panel = panel.with_target(query(expr, legend, instant=True)).unit("short").min(0).decimals(0)
    panel = panel.no_value(empty).thresholds(limits or any_is_bad()).mappings(nothing(empty, PLAIN))
    panel = panel.color_scheme(colored(d.FieldColorModeId.THRESHOLDS))
    panel = panel.orientation(c.VizOrientation.HORIZONTAL)
    panel = panel.display_mode(c.BarGaugeDisplayMode.BASIC).value_mode(c.BarGaugeValueMode.TEXT)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return linked(panel, links, other)


def heat(number, title, description, metric, *, width=12, height=9, selector="{}"):
    """Buckets of a histogram over time."""
    panel = base(heatmap.Panel(), number, title, description, width, height)
    expr = f"sum by (le) (increase({metric}_bucket{selector}[$__rate_interval]))"
    panel = panel.with_target(query(expr, "{{le}}", heat=True)).calculate(False).cell_gap(1)
    # Blues stand out from a light and from a dark ground; empty cells stay as the ground is.
    color = heatmap.HeatmapColorOptions().mode(h.HeatmapColorMode.SCHEME).scheme("Blues").steps(32)
    panel = panel.color(color.exponent(0.5).reverse(False))
    panel = panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    panel = panel.y_axis(heatmap.YAxisConfig().unit("s").axis_placement(c.AxisPlacement.LEFT))
    panel = panel.cell_values(heatmap.CellValues().unit("short").decimals(0))
    panel = panel.no_value("nothing replicated")
    panel = panel.rows_frame(heatmap.RowsHeatmapOptions().layout(c.HeatmapCellLayout.AUTO))
    return panel.mode(c.TooltipDisplayMode.SINGLE).show_y_histogram().show_legend()


def states(number, title, description, expr, legend, words, *, width=12, height=8, empty="no data"):
    """States over time, in words."""
    panel = base(statetimeline.Panel(), number, title, description, width, height)
    panel = panel.with_target(query(expr, legend)).mappings(words).no_value(empty).unit("short")
    panel = panel.thresholds(steps((None, BAD), (1, GOOD)))
    panel = panel.color_scheme(colored(d.FieldColorModeId.THRESHOLDS))
    panel = panel.show_value(c.VisibilityMode.AUTO).merge_values(True).row_height(0.85)
    legend = common.VizLegendOptions().show_legend(False)
    legend = legend.display_mode(c.LegendDisplayMode.LIST).placement(c.LegendPlacement.BOTTOM)
    return panel.legend(legend).line_width(0).fill_opacity(80)


def row(number: int, title: str):
    return dashboard.Row(title).id(number)


def values(name: str, label: str, description: str, metric: str, what: str, multi: bool):
    """A variable whose values are those of a label."""
    made = dashboard.QueryVariable(name).label(label).description(description).datasource(SOURCE)
    text = f"label_values({metric}, {what})"
    made = made.query({"qryType": 1, "query": text, "refId": f"{name}-values"})
    made = made.refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made = made.sort(d.VariableSort.ALPHABETICAL_ASC)
    if multi:
        everything = d.VariableOption(selected=True, text="All", value="$__all")
        made = made.multi(True).include_all(True).all_value(".*").current(everything)
    return made


def begin(title: str, uid: str, description: str) -> dashboard.Dashboard:
    """A dashboard with the variables that both have."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags(["twinlog"])
    made = made.timezone("browser").refresh("30s").time("now-6h", "now").readonly()
    made = made.tooltip(d.DashboardCursorSync.CROSSHAIR)
    made = made.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        .description("The Prometheus that scrapes twinlog."))
    made = made.with_variable(values(
        "job", "Job", "Prometheus' job of twinlog.", "twinlog_build_info", "job", True))
    made = made.with_variable(values(
        "instance", "Instance", "One twinlog watch; each follows one ring of masters.",
        'twinlog_build_info{job=~"$job"}', "instance", True))
    return made


def status_page(made: dashboard.Dashboard) -> dashboard.Dashboard:
    address = "http://127.0.0.1:9477"
    option = d.VariableOption(selected=True, text=address, value=address)
    return made.with_variable(
        dashboard.TextBoxVariable("status").label("Status page").default_value(address)
        .current(option).options([option])
        .description("Where a browser reaches twinlog's status page: links lead there."))


def to_other(made: dashboard.Dashboard, title: str, uid: str) -> dashboard.Dashboard:
    other = dashboard.DashboardLink(title).type(d.DashboardLinkType.LINK).icon("dashboard")
    other = other.url(f"/d/{uid}").include_vars(True).keep_time(True)
    page = dashboard.DashboardLink("Findings").type(d.DashboardLinkType.LINK).icon("external link")
    return made.link(other).link(page.url("${status:raw}/").target_blank(True))
