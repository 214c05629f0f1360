"""Every resource type: pure values that give probe text, compare states and give steps."""

from macfleet.resources.archive import ArchiveParams
from macfleet.resources.block import BlockParams
from macfleet.resources.brew_formula import BrewFormulaParams
from macfleet.resources.colima_params import ColimaInstanceParams
from macfleet.resources.command import CommandParams
from macfleet.resources.compose_file import ComposeService, parse_compose
from macfleet.resources.compose_project import ComposeProjectParams
from macfleet.resources.cron import CronParams
from macfleet.resources.directory import DirectoryParams
from macfleet.resources.docker_image import DockerImageParams, local_name
from macfleet.resources.download import DownloadParams
from macfleet.resources.file import FileParams
from macfleet.resources.firewall_rule import FirewallRuleParams
from macfleet.resources.homebrew_tap import HomebrewTapParams
from macfleet.resources.launchd_params import LaunchdServiceParams
from macfleet.resources.launchd_timer import LaunchdTimerParams
from macfleet.resources.line_in_file import LineInFileParams
from macfleet.resources.link import LinkParams
from macfleet.resources.log_rotation import LogRotationParams
from macfleet.resources.mount_check import MountCheckParams
from macfleet.resources.params import Params, Surroundings
from macfleet.resources.power_setting import PowerSettingParams
from macfleet.resources.sysctl_limit import SysctlLimitParams
from macfleet.resources.user_default import UserDefaultParams

KINDS: tuple[type[Params], ...] = (
    DirectoryParams,
    FileParams,
    DownloadParams,
    ArchiveParams,
    LinkParams,
    LineInFileParams,
    BlockParams,
    HomebrewTapParams,
    BrewFormulaParams,
    ColimaInstanceParams,
    DockerImageParams,
    ComposeProjectParams,
    LaunchdServiceParams,
    LaunchdTimerParams,
    PowerSettingParams,
    SysctlLimitParams,
    MountCheckParams,
    LogRotationParams,
    CronParams,
    FirewallRuleParams,
    UserDefaultParams,
    CommandParams,
)
"""The parameters of every kind; each knows how to build its resource."""

__all__ = [
    "KINDS",
    "ArchiveParams",
    "ComposeProjectParams",
    "ComposeService",
    "DockerImageParams",
    "FileParams",
    "Params",
    "Surroundings",
    "local_name",
    "parse_compose",
]
