"""A large guide to search in: the shipped entries among thousands of generated ones about other things."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from knowledge.encoders import Encoder, Vectors, unit
from knowledge.entries import Draft, Entry, as_entries, seeds

_KINDS: Final = (
    "离心泵 空压机 冷却塔 叉车 数控车床 注塑机 锅炉 离心机 烘箱 输送带 机械臂 激光切割机 喷涂线 贴片机 包装机 "
    "破碎机 球磨机 搅拌机 干燥机 纺纱机 织布机 印刷机 折弯机 铣床 磨床 钻床 冲床 行车 电动葫芦 货架 冷藏车 "
    "洗碗机 烤箱 和面机 咖啡机 制冰机 绞肉机 收银机 扫码枪 打印机 投影仪 会议室 门禁卡 工作服 安全帽 劳保鞋 "
    "防护镜 耳塞 急救箱 显微镜 天平 培养箱 离心管 移液器 灭菌锅 通风柜 试剂柜 病床 轮椅 血压计 体温计 拖拉机 "
    "收割机 播种机 喷灌机 温室 鱼塘 饲料塔 挤奶机 孵化器 蜂箱 果树 苗圃 校车 图书馆 食堂 体育馆 游泳池 "
    "宿舍床位 实验课 奖学金 班车 停车证 访客证 快递柜 保洁车 垃圾桶 绿化带 路障 监控录像 对讲机 巡更棒 公告栏 "
    "会员卡 优惠券 退货单 发货单"
)
_ASPECTS: Final = (
    "清洗周期 校准方法 库存编号 借用手续 报废标准 润滑油型号 滤芯更换 操作规程 日常点检 保修期限 备件价格 "
    "运输包装 存放温度 使用年限 操作证要求 噪声限值 消毒步骤 领用数量 归还时间 丢失赔偿 采购周期 供应商名录 "
    "验收记录 铭牌参数 安装间距 载重上限 转速设定 刀具寿命 程序备份 密码重置 开放时间 预约方式 排班表 押金标准 "
    "转让规则 年审日期 保险范围 颜色标识 尺寸规格 说明书下载 异味处理 漏油处理 卡料处理 误差范围 试运行天数 "
    "培训课时 考核分数 登记表格 责任人名单 交接签字 节假日安排 淘汰计划 改造方案 租赁费用 回收渠道 检测机构 "
    "标签打印 数据导出 网络设置 固件升级 雨天安排 夜班规定 陪同要求 年龄限制 体检要求 拍照规定 投料比例 "
    "批次编号 抽检比例 留样时间 退换条件 积分规则 排队办法 续期办法 换证办法 遗失登记 分级目录 归档年限 "
    "借阅权限 评比办法 防锈措施 防冻措施 防虫措施 除尘办法 平衡调整 对中要求 张力调整 皮带更换 轴承温度 "
    "密封圈尺寸 点火顺序 停机顺序 倒料步骤 换班清单 节拍时间 合格率目标 返工流程 让步接收 首件确认 巡检路线 "
    "配件目录 图纸版本 保养日志 油漆颜色 地脚螺栓 吊装点位 称重误差 计数方法"
)
KINDS: Final = tuple(_KINDS.split())
ASPECTS: Final = tuple(_ASPECTS.split())
MOST: Final = len(KINDS) * len(ASPECTS)


def entries(count: int) -> list[Entry]:
    """The shipped guide and generated entries up to `count`, of which only title and text are known."""
    shipped = as_entries(seeds())
    if count > len(shipped) + MOST:
        raise ValueError(f"at most {len(shipped) + MOST} entries can be generated")
    pairs = [(kind, aspect) for aspect in ASPECTS for kind in KINDS][: max(0, count - len(shipped))]
    drafts = {
        f"x{number:05}": Draft(
            title=f"{kind}的{aspect}",
            answer=f"按第{number % 97 + 1}号登记表执行，由管理员保管，每{number % 11 + 2}个月核对一次。",
            document="设备与场所手册",
            article=f"第{number + 1}条",
        )
        for number, (kind, aspect) in enumerate(pairs)
    }
    return [*shipped, *as_entries(drafts)]


class Composed:
    """An encoder that puts the vector of a generated text together from those of its kind and its aspect.

    Twenty thousand texts would take the full encoder minutes; questions and the shipped guide are encoded for real.
    """

    def __init__(self, inner: Encoder) -> None:
        self.name, self._inner = inner.name, inner
        parts = [*KINDS, *ASPECTS]
        self._parts = dict(zip(parts, inner.encode(parts), strict=True))
        self._kinds = sorted(KINDS, key=len, reverse=True)
        self._aspects = sorted(ASPECTS, key=len, reverse=True)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text."""
        found = [self._composed(text) for text in texts]
        real = [text for text, vector in zip(texts, found, strict=True) if vector is None]
        encoded = iter(self._inner.encode(real)) if real else iter(())
        return unit(np.stack([next(encoded) if vector is None else vector for vector in found]))

    def _composed(self, text: str) -> Vectors | None:
        kind = next((kind for kind in self._kinds if text.startswith(f"{kind}的")), None)
        if kind is None:
            return None
        rest = text[len(kind) + 1 :]
        aspect = next((aspect for aspect in self._aspects if rest.startswith(aspect)), None)
        if aspect is None:
            return None
        noise = (
            np.random.default_rng(list(text.encode())).standard_normal(self._parts[kind].shape[0]).astype(np.float32)
        )
        return np.asarray(self._parts[kind] + self._parts[aspect] + 0.3 * noise / np.linalg.norm(noise), np.float32)
